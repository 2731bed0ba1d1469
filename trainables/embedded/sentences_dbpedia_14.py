"""Grammar of the encyclopaedia entries (see grammar.py for the notation).

A text is ``title || content``. The contexts are the fourteen classes. Entries say what the thing is
in words of its class, and where and when, in words that all classes share; now and then a thing of
another class (``{!...}``) is mentioned too.
"""

ENTRIES = """
[entry]
{N=title} || {N=same} is a {kind} {where} . {fact}
{N=title} || {N=same} ( {aside} ) is a {kind} {where} .
{N=title} || {N=same} is a {kind} . {elsewhere}
{N=title} || {N=same} , {aside} , is a {kind} {where} .

[where]
{near} {region}
from {region}

[near]
in
of

[elsewhere]
it is also mentioned together with a {!kind} {where} . @3
it was described in {year} . @2

[aside]
{year}
first recorded in {year}
also written with a hyphen
not to be confused with a {!kind}

[kind.company]
{adj_company} {noun_company} that {v_company} {product}

[kind.school]
{adj_school} {noun_school} for {learner}

[kind.artist]
{adj_artist} {noun_artist} known for {work_artist}

[kind.athlete]
{adj_athlete} {noun_athlete} who {v_athlete} for {club}

[kind.officeholder]
{adj_office} {noun_office} who {v_office} {body}

[kind.transport]
{adj_transport} {noun_transport} {built} by {maker}

[kind.building]
{adj_building} {noun_building} designed in the {style} style

[kind.nature]
{adj_nature} {noun_nature} that {v_nature} {terrain}

[kind.village]
{adj_village} {noun_village} with a population of {number}

[kind.animal]
{adj_animal} species of {noun_animal} in the family {family}

[kind.plant]
{adj_plant} species of {noun_plant} in the genus {genus}

[kind.album]
{adj_album} {noun_album} released by {maker_album}

[kind.film]
{adj_film} {noun_film} directed by {person} and starring {person}

[kind.book]
{adj_book} {noun_book} written by {person}

[fact.company]
it {v_company} {product} and employs {number} people .
its shares are {traded} and its headquarters are in {place} .

[fact.school]
it offers {course:p} in {subject} and has {number} {learner} .
its campus is in {place} , and its {course:p} in {subject} are {known} .

[fact.artist]
the {noun_artist} was born in {place} and trained as a {!kind} before turning to {work_artist} . @1
the works include {work_artist} , shown in {place} in {year} . @4

[fact.athlete]
in {year} the {noun_athlete} {v_athlete} for {club} and won {trophy} .
the {noun_athlete} competed in {event} and set a record in {place} .

[fact.officeholder]
in {year} the {noun_office} was elected and {v_office} {body} .
a member of the {party} , the {noun_office} lives in {place} .

[fact.transport]
it was {built} in {year} and {v_transport} .
powered by {engine} , it {v_transport} .

[fact.building]
the {noun_building} has {part} and was completed in {year} .
it stands in {place} and is listed for its {part} .

[fact.nature]
it {v_nature} {terrain} near {place} .
its {measure} is {number} metres , and it {v_nature} {terrain} .

[fact.village]
the {noun_village} lies in the {district} of {place} .
it has {number} inhabitants in {number} households in the {district} .

[fact.animal]
it feeds on {feed} and lives in {habitat} .
the adult has {body_animal} and is found in {habitat} .

[fact.plant]
it has {part_plant} and grows in {habitat_plant} .
the {part_plant} appear in spring , and it is native to {habitat_plant} .

[fact.album]
it contains {number_small} {songs} and reached the charts in {year} .
{songs} from it were {recorded} in {place} .

[fact.film]
the {noun_film} premiered in {place} in {year} and was praised for its {craft_film} .
it tells of {plot} , and its {craft_film} was noted .

[fact.book]
it was published in {year} and tells of {plot} in its {chapters} .
the {noun_book} has {number_small} {chapters} and won a prize for {genre_book} .

<adj_company>
privately held, multinational, family owned, leading, bankrupt, profitable, global, diversified

<noun_company>
company, manufacturer, corporation, supplier, retailer, firm, brewery, publisher, distributor,
airline, startup, conglomerate, bank, insurer, consultancy, vendor, subsidiary

<v_company>
makes, sells, supplies, exports, produces, markets, distributes, imports, develops, licenses

<product>
furniture, software, tools, beverages, chips, cosmetics, tyres, insurance, medical devices, toys,
textiles, machinery, packaging, semiconductors, detergents

<traded>
traded on the exchange, owned by investors, held by a fund, listed publicly

<adj_school>
public, private, coeducational, residential, boarding, catholic, accredited, selective

<noun_school>
university, high school, college, academy, secondary school, institute, grammar school,
polytechnic, seminary, faculty, conservatory, kindergarten

<learner>
students, pupils, undergraduates, girls and boys, graduates, teenagers, teachers in training

<course.p>
degrees, courses, classes, diplomas, programs, lectures, certificates

<subject>
nursing, law, engineering, education, theology, agriculture, medicine, business, the humanities

<known>
well regarded, accredited, taught in the evening, open to all

<adj_artist>
self taught, acclaimed, award winning, young, influential, versatile, reclusive

<noun_artist>
singer, painter, guitarist, sculptor, composer, songwriter, rapper, photographer, illustrator,
pianist, drummer, cartoonist, violinist, vocalist, engraver

<work_artist>
portraits, ballads, murals, landscapes, jazz recordings, folk songs, watercolors, comics,
still lifes, symphonies, etchings, pop songs, collages

<adj_athlete>
professional, retired, left handed, former, olympic, amateur, veteran

<noun_athlete>
footballer, sprinter, goalkeeper, swimmer, pitcher, midfielder, wrestler, cyclist, boxer,
quarterback, striker, rower, skater, outfielder, gymnast, defender

<v_athlete>
plays, competes, appears, started, skates, rows, wrestles

<club>
the city club, the national team, the rovers, the league side, the lions, united, the junior squad

<trophy>
a gold medal, the cup, a silver medal, the league title, a bronze medal, the championship

<event>
the olympics, the relay, the marathon, the world cup, the decathlon, the playoffs

<adj_office>
conservative, liberal, senior, outspoken, elected, appointed, long serving

<noun_office>
politician, senator, mayor, governor, diplomat, minister, judge, congressman, ambassador,
councillor, statesman, legislator, premier, deputy

<v_office>
represents, chairs, leads, served in, heads, presides over

<body>
the senate, the city council, the cabinet, the parliament, the supreme court, the committee,
the ministry, the assembly, the legislature

<party>
labour party, liberal party, conservative party, green party, people 's party

<adj_transport>
armored, twin engined, four door, wooden, steam powered, single seat, diesel, amphibious

<noun_transport>
locomotive, destroyer, aircraft, sedan, motorcycle, submarine, helicopter, frigate, bus, tram,
yacht, fighter, truck, sports car, freighter, schooner, glider, minivan

<built>
built, assembled, launched, constructed, engineered

<engine>
a diesel engine, two turbines, a steam boiler, electric motors, sails, a piston engine

<v_transport>
carried passengers, sailed to the islands, entered service, flew for years, ran on rails,
was scrapped, towed barges, was decommissioned, patrolled the coast

<adj_building>
historic, brick, gothic, two story, stone, restored, victorian, timber framed

<noun_building>
church, house, hotel, tower, library, museum, castle, courthouse, skyscraper, mansion, chapel,
theatre, lighthouse, cathedral, farmhouse, mosque, barn, palace

<style>
gothic, baroque, colonial, neoclassical, modernist, romanesque, renaissance

<part>
a slate roof, tall windows, a bell tower, carved doors, a porch, columns, a vaulted ceiling,
a facade of granite

<adj_nature>
shallow, glacial, steep, volcanic, seasonal, winding, remote, salty

<noun_nature>
river, lake, mountain, stream, glacier, creek, volcano, valley, peak, bay, ridge, lagoon, hill,
tributary, summit, waterfall, reef

<v_nature>
drains, overlooks, crosses, feeds, rises above, flows through, borders

<terrain>
the wetlands, the plateau, the basin, the gorge, the foothills, the forest, the plain, the canyon

<measure>
depth, elevation, length, height, altitude

<adj_village>
small, rural, farming, scattered, lowland, riverside, remote

<noun_village>
village, hamlet, settlement, parish, community, rural locality, township

<district>
rural district, administrative district, province, municipality, county, subdistrict

<adj_animal>
nocturnal, endangered, venomous, small, migratory, carnivorous, burrowing

<noun_animal>
moth, beetle, frog, snail, bird, fish, spider, lizard, bat, snake, butterfly, shrimp, rodent,
wasp, crab, shark, toad, gecko

<family>
noctuidae, gekkonidae, felidae, ranidae, muricidae, tortricidae, carabidae

<feed>
larvae, insects, worms, small fish, nectar, mice, plankton, carrion

<habitat>
burrows, shallow water, caves, the undergrowth, coral reefs, dens, treetops

<body_animal>
spotted wings, a long tail, grey fur, sharp claws, a flat shell, webbed feet, striped scales

<adj_plant>
flowering, evergreen, perennial, drought tolerant, woody, annual, tropical

<noun_plant>
orchid, shrub, tree, fern, grass, herb, cactus, moss, vine, palm, lily, conifer, legume, daisy

<genus>
acacia, quercus, begonia, ficus, salvia, carex, eucalyptus, rosa

<part_plant>
white flowers, narrow leaves, red berries, smooth bark, yellow petals, thick roots, small seeds,
purple blossoms, hairy stems

<habitat_plant>
rocky soil, rainforests, sandy slopes, damp woodland, grassland, coastal dunes

<adj_album>
live, debut, second, double, acoustic, remastered, final

<noun_album>
album, studio album, compilation, record, extended play, soundtrack, anthology, mixtape

<maker_album>
the rock band, the metal band, a jazz quartet, the punk group, the duo, a gospel choir,
the folk trio

<songs>
songs, tracks, singles, cover versions, ballads, remixes, instrumentals, demos

<recorded>
recorded, mixed, produced, remastered, sung

<adj_film>
silent, animated, low budget, black and white, romantic, horror, independent

<noun_film>
film, comedy, drama, thriller, documentary, western, musical, sequel, feature, short film, remake

<craft_film>
photography, screenplay, casting, editing, acting, special effects, cinematography, dialogue

<adj_book>
best selling, historical, fantasy, posthumous, autobiographical, illustrated, weekly

<noun_book>
novel, magazine, memoir, newspaper, journal, biography, novella, comic book, textbook, anthology,
periodical, poem, essay, manuscript

<chapters>
chapters, pages, volumes, issues, stories, essays, verses

<genre_book>
fiction, crime writing, poetry, translation, reporting, science fiction

(plot)
a lost child, two brothers, a war, a journey, an old feud, a murder, a summer, a secret, a wedding

(maker)
a yard in the north, the state works, two brothers, a small workshop, the navy, a factory

(person)
alan pierce, brenda holt, carl mason, diana reyes, edward lang, fiona marsh, george nolan,
hanna brandt, ivan petrov, julia stone, kenji mori, laura finch, marco rossi, nadia khan

(place)
arlen, brackwater, corvale, dunmere, eastholm, farnley, galdova, harrowby, jorvik, kelmar,
lowfield, marrowick, norvale, pellham, quarrow, redmarsh, silverton, tolmin, vellmar, westhaven

(region)
the north, the lowlands, the islands, the eastern coast, the highlands, the old province,
the river valley, the southern hills, the western plain, the border lands, the lake district

(year)
1871, 1902, 1924, 1938, 1951, 1967, 1974, 1983, 1992, 2003, 2011, 2015

(number)
90, 240, 560, 900, 1400, 2300, 4500, 12000

(number_small)
nine, ten, eleven, twelve, fourteen, sixteen

[title]
{syllable_one}{syllable_two}
{adj_title} {syllable_one}{syllable_two}
{syllable_one}{syllable_two} {adj_title}

(syllable_one)
ar, bel, cor, dan, el, fen, gal, har, is, jor, kel, lan, mar, nor, ol, per, quin, ros, sil, tor,
ul, ver, wen, yar, zan

(syllable_two)
and, bury, dale, den, el, eth, ford, gar, holm, ia, ion, kin, la, low, mere, na, or, rick, sen,
ton, ula, va, wick, yn

(adj_title)
old, new, grand, little, blue, royal, northern, silver, lower, saint, first, red
"""
