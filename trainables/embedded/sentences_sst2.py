"""Grammar and word lists of the film review sentences (see grammar.py for the notation).

The contexts are ``pos`` and ``neg``; ``{!...}`` asks for the opposite polarity, which is how
contrast ("although the cast is charming , the plot drags") and negation ("never dull") are made.
"""

SENTENCES = """
[review]
{sentence} . @9
{sentence} @2

[sentence]
{clause} and {clause} @14
{clause} , and {clause} @10
{clause} because {clause} @1
{opener} , {clause} and {clause} @8
{clause} , {clause} and {clause} @6
thanks to {nominal} , {clause} @6
with {nominal} and {nominal} , {clause} @8
although {!clause} , {clause} and {clause} @2
{!clause} , but {clause} and {clause} @2
although {!clause} , {clause} @2
{!clause} , but {clause} @2
{!clause} , yet {clause} @1
even though {!clause} , {clause} @1
while {!clause} , {clause} @1
{clause} , even if {!clause} @1
{clause} despite {!nominal} @1
despite {!nominal} , {clause} @1
despite its {!noun} , the {F=whole} {v_film} and {clause} @2
for all its {!noun} , the {F=whole} {v_film} @1
with its {noun} and {noun} , the {F=whole} {v_film} @5
{fragment} @16
{adj_film} and {adj_film} , the {F=whole} {v_film} @8
{negated} , {adj_film} and {adj_film} , the {F=whole} {v_film}
what could have been a {!adj_film} {G=genre} turns out to be a {adj_film} , {adj_film} one @1
what sounds like a {!adj_film} {G=genre} turns out to be {adj_film} and {adj_film} @1
the kind of {adj_film} {G=genre} that {v_film} and {v_audience} {audience} @3
{verdict} @12
{viewer} @10

[fragment]
a {adj_film} {G=genre} that {v_film} @4
a {adj_film} , {adj_film} {G=genre} that {v_film} @3
a {adj_film} {G=genre} with a {adj_plot} {asp_one} and {adj_people} {asp_people:p} @3
a {!adj_film} {G=genre} made {made} by its {adj_people} {asp_people:p} @2
a {G=genre} of {noun} and {noun} , full of {adj_craft} {asp_craft:p} @2
a {adj_film} but never {!adj_film} {G=genre} about {subject} @3
a {adj_film} look at {subject} , told with {noun} and {noun} @2
{adj_film} , {adj_film} and {negated} @3
a {G=genre} about {subject} that is {adj_film} without being {!adj_film} @2
less a {!adj_film} {G=genre} than a {adj_film} {G=genre} about {subject} @2
more {adj_film} than {!adj_film} , this {G=genre} {v_film} @2
not the {!adj_film} {G=genre} it might have been , but a {adj_film} one @2
{adj_film} from its {adj_plot} opening to its {adj_plot} final scene @2

[made.pos]
watchable
worthwhile
worth seeing
memorable

[made.neg]
unwatchable
worse
tiresome

[verdict.pos]
one of those {adj_film} {genres} that {v_film:p} @3
rarely has a {G=genre} about {subject} been this {adj_film} @2
no amount of {!noun} can hide the {noun} of this {adj_film} {G=genre} @2
it is hard not to enjoy a {G=genre} this {adj_film} @2
it would be a mistake to call this {adj_film} {G=genre} {!adj_film} @2
do n't let the {!adj_plot} {asp_story:s} fool you , this {G=genre} {v_film} @2
the {asp_people:p} alone make this {!adj_film} {G=genre} {made} @2
there is not a {!adj_film} moment in this {adj_film} {G=genre} @2
rarely do you see a {G=genre} about {subject} this {adj_film} and {adj_film} @2
i expected something {!adj_film} and found a {adj_film} {G=genre} instead @2
nothing about this {adj_film} {G=genre} is {!adj_film} @2
see it for its {noun} , its {noun} and its {adj_people} {asp_people:p} @2
the {!noun} of the first hour gives way to something {adj_film} @2
too {adj_film} to be dismissed as just another {!adj_film} {G=genre} @2

[verdict.neg]
one of those {adj_film} {genres} that {v_film:p} @3
rarely has a {G=genre} about {subject} been this {adj_film} @2
no amount of {!noun} can save this {adj_film} {G=genre} @3
it is hard to enjoy a {G=genre} this {adj_film} @2
it would be a mistake to call this {adj_film} {G=genre} {!adj_film} @2
do n't let the {!adj_people} {asp_people:p} fool you , this {G=genre} {v_film} @2
even the {!adj_people} {asp_people:p} cannot rescue this {adj_film} {G=genre} @3
there is not a {!adj_film} moment in this {adj_film} {G=genre} @2
too {adj_film} to be {!adj_film} and too {adj_film} to be {!adj_film} @3
i expected something {!adj_film} and found a {adj_film} {G=genre} instead @2
nothing about this {adj_film} {G=genre} is {!adj_film} @2
the {!noun} of the first hour gives way to something {adj_film} @2
it tries to be {!adj_film} and ends up merely {adj_film} @3
skip it and look for a {!adj_film} {G=genre} somewhere else @1
neither {!adj_film} nor {!adj_film} , just {adj_film} @2

[viewer.pos]
i {liked} the {adj_people} {asp_people:p} and the {adj_craft} {asp_craft:s} @2
i {liked} this {adj_film} {G=genre} more than i expected to @2
you will {enjoy} this {adj_film} {G=genre} even if {!clause} @2
you leave the theater {feeling} and {feeling} @2
by the end , i was {feeling} by a {G=genre} i thought would be {!adj_film} @2
{audience} will {enjoy} the {adj_plot} {asp_one} and the {noun} @3
{audience} hoping for {!noun} will find {noun} instead @1
i never once felt {!feeling} during this {adj_film} {G=genre} @2

[viewer.neg]
i {liked} the {adj_people} {asp_people:p} and the {adj_craft} {asp_craft:s} @2
i {liked} this {adj_film} {G=genre} more than i expected to @2
you will {enjoy} this {adj_film} {G=genre} even if {!clause} @2
you leave the theater {feeling} and {feeling} @2
by the end , i was {feeling} by a {G=genre} i thought would be {!adj_film} @2
{audience} will {enjoy} the {adj_plot} {asp_one} and the {noun} @3
{audience} hoping for {!noun} will find {noun} instead @2
i never once felt {!feeling} during this {adj_film} {G=genre} @2

[clause]
the {asp_story#} is# {adjp_plot} @5
the {asp_people#} is# {adjp_people} @5
the {asp_craft#} is# {adjp_craft} @5
the {F=whole} is {adjp_film} @3
the {asp_story#} {v_story#} @5
the {asp_people#} {v_people#} @5
the {asp_craft#} {v_craft#} @3
the {F=whole} {v_film} @6
the {adj_plot} {asp_one} {v_audience} {audience} @4
the {F=whole} {v_audience} {audience} @3
the {F=whole} {negated_verb} @2
there is {quantity} in {place} @4
the director {handles} with {noun} @2
the {asp_craft#} and the {asp_people:p} are {adjp_people} @1
the {G=genre} {has} {nominal} @4
the {asp_story#} is# {adjp_plot} {extent} @1
the {asp_craft#} is# {adjp_craft} {extent} @1

[negated_verb.pos]
does n't {v_bad_only:b}
rarely {v_bad_only}
refuses to {v_bad_only:b}
never {v_bad_only} @2

[negated_verb.neg]
never {v_good_only} @2
does n't {v_good_only:b}
fails to {v_good_only:b} @3
rarely {v_good_only:s}
forgets to {v_good_only:b}

[handles]
handles {subject}
treats {subject}
tells the story of {subject}
fills {place}

[has]
has
offers
delivers
gives us

[quantity.pos]
{noun} and {noun}
real {noun}
more {noun} than {!noun}
not a trace of {!noun}
plenty of {noun}
much {noun} and little {!noun}

[quantity.neg]
{noun} and {noun}
more {noun} than {!noun}
not a trace of {!noun}
nothing but {noun}
so much {noun} and so little {!noun}
no {!noun} and no {!noun}

[nominal]
a {adj_plot} {asp_one} @3
{adj_people} {asp_people:p} @3
{adj_craft} {asp_craft:p} @3
{noun} and {noun} @2
a {adj_film} {stretch} @2


[adjp_plot]
{adj_plot} @5
{adv} {adj_plot} @3
{adj_plot} and {adj_plot} @3
{not} {!adj_plot} @1

[adjp_people]
{adj_people} @5
{adv} {adj_people} @3
{adj_people} and {adj_people} @3
{not} {!adj_people} @1

[adjp_craft]
{adj_craft} @5
{adv} {adj_craft} @3
{adj_craft} and {adj_craft} @3
{not} {!adj_craft} @1

[adjp_film]
{adj_film} @5
{adv} {adj_film} @3
{adj_film} and {adj_film} @3
{not} {!adj_film} @1
neither {!adj_film} nor {!adj_film} @1

[negated]
never {!adj_film} @3
rarely {!adj_film}
far from {!adj_film}
anything but {!adj_film}

[not]
not {intense} @2
never @2
hardly
far from
anything but
not exactly

[intense]
at all
particularly
remotely

[adj_plot]
{adj_any} @2
{adj_story} @3

[adj_people]
{adj_any} @2
{adj_actor} @3

[adj_craft]
{adj_any} @2
{adj_look} @3

[adj_film]
{adj_any} @2
{adj_story} @3
{adj_work} @3

[v_story.pos]
{v_good_any#}
{v_good_only#}

[v_story.pos.p]
{v_good_only#}

[v_story.neg.p]
{v_bad_only#}

[v_story.neg]
{v_bad_any#}
{v_bad_only#}

[v_film.pos]
{v_good_any#}
{v_good_only#}

[v_film.pos.p]
{v_good_only#}

[v_film.neg.p]
{v_bad_only#}

[v_film.neg]
{v_bad_any#}
{v_bad_only#}

[opener]
in the end
by the time the credits roll
as a {G=genre}
on the whole
from the opening scene
for a {G=genre} about {subject}

[extent]
from start to finish @2
in nearly every scene
in the second half
from the first scene to the last
most of the time

(adv_neutral)
very, quite, truly, often, consistently, surprisingly, at times, really, mostly, simply,
undeniably, always, unusually, remarkably, deeply

[adv]
{adv_neutral}
{adv_cue}

(whole)
film, movie, picture, story, whole thing, production, adaptation, feature, result

(genre)
drama, comedy, thriller, western, romance, documentary, musical, horror film, ghost story,
war film,
road movie, family film, remake, sequel, debut, love story, crime story, fairy tale, action movie,
spy story, satire, fantasy, mystery, adventure, portrait, cartoon, farce, epic, fable, melodrama

(genres)
dramas, comedies, thrillers, westerns, romances, documentaries, musicals, horror films, war films,
road movies, family films, remakes, sequels, love stories, crime stories, action movies, mysteries

(subject)
love and loss, a small town, two brothers, a family in trouble, growing old, a lonely teacher,
the price of fame, first love, a bank robbery, an aging boxer, life during the war, lost friends,
a young singer, a marriage in crisis, a country doctor, a band on the road, fathers and sons,
a missing child, life in the city, old soldiers, a street musician, an unlikely friendship,
a woman on the run, three sisters, a summer by the sea, class and money, a village school,
the end of childhood, a retired spy, a chess player, faith and doubt, a stolen painting

(asp_one)
script, plot, story, screenplay, premise, ending, final act, twist, middle section, romance,
subplot,
climax, concept, central mystery, hero, villain, first hour, mystery plot, love story, finale

(asp_story.s)
script, plot, story, dialogue, screenplay, premise, ending, final act, first hour, narrative,
opening, twist, setup, writing, humor, middle section, central mystery, romance, last half hour,
subplot, climax, concept

(asp_story.p)
jokes, scenes, characters, twists, lines, gags, ideas, action scenes, love scenes, subplots,
songs, conversations, surprises, flashbacks

(asp_people.s)
cast, lead actor, director, leading lady, young star, supporting cast, ensemble, hero, villain,
lead, actress, comedian, main actor

(asp_people.p)
actors, performances, leads, stars, performers, supporting players, child actors, heroes,
villains,
young leads, newcomers, actresses

(asp_craft.s)
score, camera work, editing, photography, soundtrack, direction, art direction, set design,
music, lighting, animation, pacing, visual style, sound design, staging

(asp_craft.p)
visuals, effects, images, costumes, sets, dance numbers, stunts, landscapes, colors,
special effects,
close-ups, fight scenes, production values

(stretch)
first half, final hour, middle stretch, last act, opening hour, second half

(place)
every scene, the story, the script, the performances, nearly every frame, each of these lives,
the last half hour, the central romance, the writing, this film, the direction

(audience)
the audience, viewers, children and adults, fans of the book, anyone who loves movies,
the whole family,
moviegoers, young viewers, older viewers, fans of the genre, critics, us

<adv_cue.pos>
wonderfully, delightfully, beautifully, refreshingly, genuinely, brilliantly, gloriously,
effortlessly,
pleasantly, charmingly, quietly, sweetly, cleverly, marvelously, gracefully, joyfully

<adv_cue.neg>
painfully, hopelessly, needlessly, terribly, awfully, horribly, annoyingly, depressingly,
woefully,
hideously, sadly, unbearably, badly, tediously, shamelessly, dreadfully

<adj_any.pos>
great, wonderful, excellent, superb, brilliant, remarkable, terrific, fine, splendid, impressive,
outstanding, marvelous, delightful, fantastic, strong, first-rate, perfect, amazing, exceptional,
magnificent, good, lovely, inspired, masterful, unforgettable, extraordinary, memorable, flawless,
admirable, sublime, solid, stellar, fabulous, exquisite, astonishing, enchanting, top-notch,
pleasing

<adj_any.neg>
bad, terrible, awful, dreadful, poor, weak, horrible, lousy, mediocre, disappointing, dull, bland,
forgettable, lame, pathetic, miserable, dismal, atrocious, inept, lifeless, flat, second-rate,
boring,
annoying, irritating, unpleasant, sorry, abysmal, pitiful, uninspired, appalling, hopeless,
sloppy,
amateurish, wretched, shoddy, embarrassing, laughable

<adj_story.pos>
clever, witty, gripping, touching, moving, funny, intelligent, smart, compelling, absorbing,
suspenseful,
heartfelt, original, insightful, thoughtful, fresh, surprising, inventive, believable, engaging,
fascinating, poignant, hilarious, tense, rich, subtle, honest, satisfying, powerful, warm,
provocative,
exciting, imaginative, amusing, profound, thrilling, romantic, tender, daring, sharp, wise,
riveting,
elegant, lively, rewarding, heartbreaking, bold, uplifting, playful, credible

<adj_story.neg>
predictable, silly, stupid, confusing, contrived, pointless, tedious, slow, stale, shallow,
dumb, trite,
unfunny, implausible, ridiculous, formulaic, incoherent, muddled, corny, thin, empty, tired,
ponderous,
unbelievable, preachy, clumsy, cheesy, absurd, dreary, tiresome, nonsensical, hollow,
superficial, messy,
simplistic, sappy, illogical, repetitive, vulgar, crude, pretentious, overlong, senseless,
offensive,
heavy-handed, childish, forced, aimless, unconvincing, bloated

<adj_actor.pos>
charming, likable, fearless, charismatic, gifted, talented, lovable, winning, graceful, magnetic,
radiant, convincing, sincere, endearing, appealing, captivating, confident, spirited, natural,
sympathetic, expressive, irresistible, energetic, adorable, believable, vivid, engaging, skillful,
assured, accomplished, delicate, brave

<adj_actor.neg>
wooden, stiff, unlikable, hammy, obnoxious, miscast, grating, unconvincing, charmless, awkward,
bored,
clueless, tiresome, listless, self-indulgent, robotic, lazy, smug, unsympathetic, faceless,
clumsy,
colorless, stilted, insufferable, hysterical, one-note, careless, lost, helpless, forced, shrill,
unconvincing

<adj_look.pos>
beautiful, stunning, gorgeous, lush, crisp, dazzling, striking, stylish, elegant, breathtaking,
vivid,
spectacular, haunting, bright, polished, majestic, atmospheric, graceful, lavish, glorious,
luminous,
evocative, rich, hypnotic, exhilarating, handsome, lyrical, dreamy, precise, seamless

<adj_look.neg>
ugly, cheap, choppy, murky, muddy, sluggish, chaotic, drab, garish, crude, grim, jarring, clumsy,
artificial, blurry, noisy, cluttered, tacky, gloomy, overdone, harsh, lackluster, jumbled, cold,
pedestrian, distracting, fake, plodding, rough, careless

<adj_work.pos>
entertaining, enjoyable, fun, worthwhile, irresistible, sweet, charming, refreshing,
life-affirming,
crowd-pleasing, joyous, ambitious, beautiful, captivating, haunting, sensitive, humane,
heartwarming,
timeless, mesmerizing, triumphant, gentle, accessible, delicious, breezy, passionate, stirring,
unique,
involving, enthralling, compassionate, stylish

<adj_work.neg>
unwatchable, mindless, soulless, generic, joyless, unoriginal, useless, depressing, forgettable,
insulting, hackneyed, worthless, manipulative, derivative, humorless, excruciating, disjointed,
insipid,
pompous, gloomy, overblown, half-baked, brainless, charmless, ugly, unnecessary, unbearable,
disastrous, rotten, mean-spirited, sentimental, chaotic

<noun.pos>
charm, warmth, wit, heart, energy, grace, imagination, intelligence, beauty, tenderness, humor,
passion,
suspense, joy, insight, style, depth, humanity, laughter, honesty, magic, compassion, originality,
excitement, elegance, courage, sincerity, wisdom, confidence, skill, delight, power, subtlety,
inspiration, wonder, flair, sophistication, affection, kindness, vitality, brilliance, tension,
dignity,
generosity, sparkle

<noun.neg>
boredom, noise, nonsense, confusion, clutter, stupidity, tedium, cliche, laziness, cynicism,
emptiness,
sentimentality, vulgarity, monotony, pretension, silliness, mediocrity, chaos, gloom,
predictability,
clumsiness, cruelty, bombast, self-pity, dullness, filler, misery, indifference, incompetence,
vanity,
repetition, smugness, arrogance, carelessness, bad taste, ugliness, shouting, padding, hysteria,
absurdity, hypocrisy, stiffness, greed, dead weight

<v_good_only>
grips, delights, charms, dazzles, thrills, moves, works, surprises, succeeds, satisfies, shines,
entertains, inspires, impresses, engages, soars, earns its tears, finds the right tone,
comes to life, hits the mark, keeps you guessing, holds your attention, makes you laugh,
makes you think, touches the heart, takes flight, builds real suspense, stays with you,
lives up to its promise, lifts the spirits, catches fire, wins you over, casts a spell,
keeps you on the edge of your seat, pulls you in, pays off, rings true, warms the heart

<v_good_any>
is a joy to watch, is a triumph, is a pleasure, is a treat, is a real gem,
is a breath of fresh air,
is worth every minute, is a small miracle, is a hit, is the best of its kind, is a rare treasure,
deserves a wide audience, deserves every award, is well worth the price of a ticket,
is a masterpiece, is a feast for the eyes, is a winner

<v_bad_only>
drags, bores, stumbles, collapses, disappoints, annoys, irritates, sags, stalls, falters,
wastes your time, falls flat, goes nowhere, runs out of steam, falls apart, loses its way,
misses the mark, puts you to sleep, overstays its welcome, insults your intelligence,
sinks under its own weight, talks down to its audience, wears out its welcome,
tests your patience,
trips over itself, rings false, wanders off course, strains for laughs, repeats itself,
gets on your nerves, crumbles, fizzles, limps along, grates, panders

<v_bad_any>
is a mess, is a bore, is a chore to sit through, is a waste of time, is a disaster, is a failure,
is a total misfire, is dead on arrival, is beyond repair, is a letdown, is a train wreck,
is an insult, is an ordeal, is a missed opportunity, is best avoided, is a dud, is a headache,
is a lost cause

<v_people.pos>
shines, dazzles, sparkles, brings warmth to every scene, steals the show, makes every word count,
carries the movie with ease, lights up the screen, has real chemistry, deserves an award,
finds the heart of each scene, gives everything, rises above the material,
plays every note perfectly,
wins our sympathy, glows, commands the screen, brings depth to a small part, excels

<v_people.neg>
struggles, mumbles through every scene, looks bored, overacts, has no chemistry,
mugs for the camera,
sleepwalks through the story, seems lost, fades into the background, sounds false,
shouts every line,
goes through the motions, drowns in bad lines, looks embarrassed, flounders, whines,
deserves better material, tries too hard, stumbles from scene to scene

<v_craft.pos>
dazzles, sets just the right mood, enchants, brings the period to life, adds real magic,
takes your breath away,
lifts every scene, casts a spell, impresses, works like a charm, seduces,
fits the story perfectly,
gives the film its soul, creates a rich world, rewards close attention

<v_craft.neg>
distracts, annoys, grates, spoils the mood, looks cheap, drowns out the story, ruins every scene,
gets in the way, kills the tension, seems thrown together, gives you a headache,
clashes with the story,
hides whatever talent is there, robs the story of its tension, looks unfinished

<v_audience.pos>
delights, thrills, moves, charms, rewards, amuses, fascinates, enchants, surprises, touches,
inspires,
captivates, entertains, respects, impresses, excites, cheers, comforts, involves, dazzles, amazes

<v_audience.neg>
bores, annoys, insults, disappoints, irritates, confuses, frustrates, offends, alienates,
exhausts,
depresses, tires, cheats, patronizes, infuriates, angers, bewilders, punishes, disgusts,
betrays, numbs

<liked.pos>
loved, liked, enjoyed, admired, adored, cherished, savored, appreciated, applauded

<liked.neg>
hated, disliked, loathed, despised, resented, regretted, detested

<enjoy.pos>
enjoy, love, adore, admire, remember, treasure, appreciate, embrace, relish, applaud

<enjoy.neg>
hate, dislike, regret, resent, loathe, detest, forget, reject, endure, despise

<feeling.pos>
moved, inspired, thrilled, delighted, refreshed, cheered, touched, satisfied, charmed, entertained,
enchanted, uplifted, amazed, impressed

<feeling.neg>
bored, cheated, annoyed, disappointed, exhausted, depressed, irritated, insulted, frustrated,
confused, disgusted, angered, saddened, numbed
"""
