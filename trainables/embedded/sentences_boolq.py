"""Grammar of the yes/no questions and their passages (see grammar.py for the notation).

A text is ``question || passage``. The contexts are ``true`` and ``false``: whether the passage says
yes to the question. It says so by what it reports (records confirm it or refute it), how firmly,
and now and then against an older opinion that said the opposite (``{!...}``).
"""

QUESTIONS = """
[item]
is {T=place} {P=state} || {verdict_is} {more}
was {T=place} {P=state_once} || {verdict_was} {more}
can {T=creature} {P=ability} || {verdict_can} {more}
do {T=creature} {P=habit} || {verdict_do} {more}
is {T=food} {P=food_state} || {verdict_is} {more}
are {T=things} {P=law_state} || {verdict_are} {more}
did {T=person} {P=v_deed:b} || {verdict_did} {more}
does {T=machine} {P=function} || {verdict_does} {more}

[verdict_is]
{source:p} {v_hold:b} that {T=same} is {P=same} . @4
{source:p} {v_hold:b} the claim that it is {P=same} . @4
it is {firm} {P=same} , and {source:p} {v_hold:b} it . @4
{opinion} {!v_hold} that it is {P=same} , but {source:p} {v_hold:b} this . @1
the idea that it is {P=same} is {idea} . @4
it is {idea} that {T=same} is {P=same} , as {source:p} {v_hold:b} it . @4

[verdict_was]
{source:p} {v_hold:b} that {T=same} was {P=same} . @4
the story that it was {P=same} is {idea} . @4
it was {firm} {P=same} , and {source:p} {v_hold:b} it . @4
{opinion} {!v_hold} that it was {P=same} , but {source:p} {v_hold:b} this . @1

[verdict_can]
{source:p} {v_hold:b} that they can {P=same} . @4
the belief that they can {P=same} is {idea} . @4
{source:p} {v_hold:b} it : they can {firm} {P=same} . @4
{opinion} {!v_hold} that they can {P=same} , but {source:p} {v_hold:b} this . @1

[verdict_do]
{source:p} {v_hold:b} that they {P=same} . @4
the belief that they {P=same} is {idea} . @4
they {firm} {P=same} , and {source:p} {v_hold:b} it . @4
{opinion} {!v_hold} that they {P=same} , but {source:p} {v_hold:b} this . @1

[verdict_are]
{source:p} {v_hold:b} that {T=same} are {P=same} . @4
they are {firm} {P=same} there , and {source:p} {v_hold:b} it . @4
the notion that they are {P=same} is {idea} . @4

[verdict_did]
{source:p} {v_hold:b} that she {P=v_deed:d} . @4
the story that she {P=v_deed:d} is {idea} . @4
that she {firm} {P=v_deed:d} is what {source:p} {v_hold:b} . @4
{opinion} {!v_hold} that she {P=v_deed:d} , but {source:p} {v_hold:b} this . @1

[verdict_does]
{source:p} {v_hold:b} that it can {P=same} . @4
the claim that it can {P=same} is {idea} . @4
it will {firm} {P=same} , and {source:p} {v_hold:b} it . @4
{opinion} {!v_hold} that it can {P=same} , but {source:p} {v_hold:b} this . @1

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
confirms, shows, proves, establishes, demonstrates, supports, documents, accepts, concludes,
reveals, recognizes, records

<v_hold.false>
denies, rejects, disputes, contradicts, dismisses, doubts, questions, challenges, opposes,
contests, overturns, refutes

<firm.true>
indeed, certainly, officially, clearly, still, truly, fully, always, definitely, surely

<firm.false>
never, hardly, rarely, barely, seldom, falsely, supposedly, wrongly, no longer, not

<idea.true>
correct, true, accurate, right, established, certain, proven, generally accepted, valid, reliable

<idea.false>
wrong, false, a myth, incorrect, mistaken, a legend, inaccurate, an error, invented, fake

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

(year)
1871, 1902, 1924, 1938, 1951, 1967, 1974, 1983, 1992, 2003, 2011

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
