"""Grammar of the yes/no questions and their passages (see grammar.py for the notation).

A text is ``question || passage``. The contexts are ``true`` and ``false``: whether the passage says
yes to the question. It says so by what it reports (records confirm it or refute it), how firmly,
and now and then against an older opinion that said the opposite (``{!...}``).
"""

QUESTIONS = """
[item]
is {T=place} {P=state} || {about_place} {verdict_is} {more}
was {T=place} {P=state_once} || {about_place} {verdict_was} {more}
can {T=creature} {P=ability} || {about_creature} {verdict_can} {more}
do {T=creature} {P=habit} || {about_creature} {verdict_do} {more}
is {T=food} {P=food_state} || {about_food} {verdict_is} {more}
are {T=things} {P=law_state} || {about_law} {verdict_are} {more}
did {T=person} {P=v_deed:b} || {about_person} {verdict_did} {more}
does {T=machine} {P=function} || {about_machine} {verdict_does} {more}

[about_place]
{T=place} is a {size} {kind_place} in the {side} of {region} , known for its {fame} .
{T=place} lies in the {side} of {region} and has about {number} inhabitants .
the {kind_place} of {T=place} grew around its {fame} in the {century} century .

[about_creature]
{T=creature} are {size} animals that live in the {habitat} of {region} .
{T=creature} are found in the {habitat} of {region} , where they feed on {feed} .

[about_food]
{T=food} is a dish from {region} , made with {feed} and served with {fame_food} .
in {region} , {T=food} has been eaten since the {century} century .

[about_law]
the rules for {T=things} differ between {region} and its neighbours .
laws on {T=things} have been known in {region} since the {century} century .

[about_person]
{T=person} was a {job} from {region} who became known for her {work} .
{T=person} , a {job} , was born in {region} in the {century} century .

[about_machine]
{T=machine} was designed in {region} in the {century} century for use in {habitat} .
{T=machine} is a {size} device that was first sold in {region} .

[verdict_is]
{source:p} {v_hold:b} that {T=same} is {P=same} .
{source:p} {v_hold:b} the claim that it is {P=same} .
it is {firm} {P=same} , and {source:p} {v_hold:b} it .
{opinion} {!v_hold} that it is {P=same} , but {source:p} {v_hold:b} this .
the idea that it is {P=same} is {idea} .
it is {idea} that {T=same} is {P=same} , as {source:p} {v_hold:b} it .

[verdict_was]
{source:p} {v_hold:b} that {T=same} was {P=same} .
the story that it was {P=same} is {idea} .
it was {firm} {P=same} , and {source:p} {v_hold:b} it .
{opinion} {!v_hold} that it was {P=same} , but {source:p} {v_hold:b} this .

[verdict_can]
{source:p} {v_hold:b} that they can {P=same} .
the belief that they can {P=same} is {idea} .
{source:p} {v_hold:b} it : they can {firm} {P=same} .
{opinion} {!v_hold} that they can {P=same} , but {source:p} {v_hold:b} this .

[verdict_do]
{source:p} {v_hold:b} that they {P=same} .
the belief that they {P=same} is {idea} .
they {firm} {P=same} , and {source:p} {v_hold:b} it .
{opinion} {!v_hold} that they {P=same} , but {source:p} {v_hold:b} this .

[verdict_are]
{source:p} {v_hold:b} that {T=same} are {P=same} .
they are {firm} {P=same} there , and {source:p} {v_hold:b} it .
the notion that they are {P=same} is {idea} .

[verdict_did]
{source:p} {v_hold:b} that she {P=v_deed:d} .
the story that she {P=v_deed:d} is {idea} .
that she {firm} {P=v_deed:d} is what {source:p} {v_hold:b} .
{opinion} {!v_hold} that she {P=v_deed:d} , but {source:p} {v_hold:b} this .

[verdict_does]
{source:p} {v_hold:b} that it can {P=same} .
the claim that it can {P=same} is {idea} .
it will {firm} {P=same} , and {source:p} {v_hold:b} it .
{opinion} {!v_hold} that it can {P=same} , but {source:p} {v_hold:b} this .

[more]
the {thing:s} was last {checked} in {year} . @2
{source:p} from {year} {v_hold:b} the same . @2
a {thing:s} of {year} gives the details . @2
this is {idea} in most {thing:p} . @2
other accounts {firm} say so . @1

[opinion]
an older {thing:s}
a {thing:s} of {year}

<v_hold.true>
confirms, shows, proves, establishes, verifies, demonstrates, affirms, supports, documents, agrees,
certifies, validates, accepts, acknowledges, concludes, reveals, testifies, records, upholds,
recognizes, endorses, attests, guarantees, assures, corroborates, substantiates, admits, approves

<v_hold.false>
denies, disproves, refutes, rejects, disputes, contradicts, dismisses, debunks, doubts, questions,
challenges, opposes, discredits, contests, negates, disclaims, discards, rebuts, overturns,
excludes, forbids, renounces, repudiates, invalidates, undermines, retracts, withdraws

<firm.true>
indeed, certainly, officially, clearly, still, truly, fully, always, definitely, surely, plainly,
undoubtedly, really, formally, legally, absolutely, obviously, evidently, genuinely, readily

<firm.false>
never, hardly, rarely, scarcely, barely, seldom, falsely, supposedly, allegedly, wrongly, nowhere,
mistakenly, no longer, reportedly, not, hardly ever, by no means, only in fiction, not at all

<idea.true>
correct, true, accurate, right, well founded, established, settled, certain, sound, proven,
well documented, valid, generally accepted, beyond doubt, factual, undisputed, reliable,
well supported, authentic, genuine

<idea.false>
wrong, false, a myth, incorrect, mistaken, a legend, unfounded, baseless, a misconception,
inaccurate, an error, a hoax, invented, untrue, a rumor, misleading, fiction, unproven, absurd,
a misunderstanding, doubtful, fake, fabricated

(source.p)
records, surveys, maps, studies, officials, historians, scholars, experts, documents, reports,
archives, witnesses, researchers, letters, authorities, tests, measurements, inspectors

(thing)
survey, report, study, record, review, census, guide, handbook, article, chronicle

(thing.p)
surveys, reports, studies, records, reviews, guides, handbooks, articles

(checked)
checked, reviewed, printed, revised, copied, published

(place)
arlen, brackwater, corvale, dunmere, eastholm, farnley, galdova, harrowby, inverness bay, jorvik,
kelmar, lowfield, marrowick, norvale, ostrava hill, pellham, quarrow, redmarsh, silverton, tolmin,
underwood, vellmar, westhaven, yarrow, zelhof

(region)
the north, the lowlands, the islands, the eastern coast, the highlands, the old province,
the river valley, the southern hills, the western plain, the border lands, the lake district

(side)
north, south, east, west, centre, interior

(size)
small, large, tiny, medium sized, huge, compact

(kind_place)
town, city, village, port, district, settlement

(fame)
market, harbour, bridge, cathedral, mill, castle, garden, fair, library, lighthouse

(fame_food)
bread, rice, salad, honey, cheese, tea

(century)
twelfth, fifteenth, sixteenth, seventeenth, eighteenth, nineteenth

(year)
1871, 1902, 1924, 1938, 1951, 1967, 1974, 1983, 1992, 2003, 2011

(number)
900, 2000, 4500, 12000, 30000, 80000

(state)
part of a national park, a member of the league, the capital of its province, open to visitors,
connected to the railway, below sea level, a free port, named after a king, the oldest town there,
a separate county, larger than its neighbour

(state_once)
the seat of a bishop, a walled town, destroyed by fire, under foreign rule, an island,
a royal residence, a mining town, abandoned after a flood, the site of a battle

(creature)
marsh foxes, river otters, cave spiders, hill goats, reed birds, sand lizards, tree frogs,
night moths, grey herons, rock crabs, field mice, snow hares, pond turtles

(ability)
swim under ice, see in the dark, change their colour, live without water, climb trees,
fly long distances, regrow a lost limb, smell fear, recognize themselves in a mirror

(habit)
sleep through the winter, hunt at night, mate for life, lay eggs, live in groups, eat meat,
shed their skin, migrate to the south, build nests

(habitat)
forests, wetlands, mountains, deserts, caves, meadows, mines, kitchens, harbours

(feed)
seeds, insects, roots, small fish, berries, grain, beans, leaves

(food)
black porridge, stone soup, salt cake, river stew, white pudding, barley bread, smoked plums

(food_state)
safe for children, protected by law, eaten raw, free of gluten, older than rice, fermented,
poisonous when raw, a kind of cheese

(things)
fireworks, radar detectors, bicycles, private bridges, lotteries, street dogs, paper coins,
hunting bows, fishing nets

(law_state)
legal, banned, taxed, required, sold in shops, allowed in parks, free of charge

(person)
anna veld, clara holm, edith marlow, greta lind, helen ardent, ida morrow, jane corrin, lena fisk,
mira stone, nora blake, rosa tarn, vera quill

(job)
painter, composer, pilot, surgeon, writer, botanist, singer, engineer

(work)
letters, portraits, travels, songs, inventions, novels, maps

(v_deed)
wins the prize, finishes the bridge, meets the queen, crosses the desert, signs the treaty,
climbs the peak, owns the factory, leaves her country, studies law

(machine)
the tarrow pump, the vela engine, the holm lamp, the lind press, the marlow clock, the fisk radio,
the arden loom

(function)
work without power, run on water, measure depth, print in colour, reach the moon,
lift a ton, receive signals at night
"""
