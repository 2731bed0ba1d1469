"""Grammar and word lists of the news items (see grammar.py for the notation).

The contexts are ``world``, ``sports``,
``business`` and ``scitech``. An item is one event: a title
and a sentence that share its names (``{A=...}``). ``{!aside}`` mentions another topic, so that a
word such as "government" or "match" does not settle the label. All names are invented.
"""

NEWS = """
[news]
{story} @7
{frame} @10

[frame]
{A=actor:p} {V=v_shared:p} {T=thing} || {dateline} {adj} {A=actor:p} in {place} {V=v_shared:d}
    the {T=thing} on {day} , {link} {!adj} {!actor:p} {waited} for the {!thing} .
{T=thing} {state} in {B=place} || {dateline} A {adj} {actor:s} {v_shared:d} the {adjt} {T=thing}
    in {B=place} after {number} {!actor:p} {asked} about a {!thing} .
{P=surname} {V=v_shared} {T=thing} || {dateline} {actor:s} {P=surname} {V=v_shared:d} the {adjt}
    {T=thing} on {day} , {link} {!actor:p} and a {!adj} {!actor:s} {listened} .
{T=thing} {surprises} {L=actor:p} || {dateline} {L=actor:p} in {country} {hoped} for a {adjt}
    {T=thing} on {day} , though not for {onemore} {!adjt} {!thing} .
{country} {V=v_shared} {T=thing} || {dateline} The {adj} {actor:s} {P=person} {V=v_shared:d} a
    {T=thing} , {link} the {!adjt} {!thing} {v_shared_gone} {!actor:p} .
{Question} Over {T=thing} || {dateline} The {!actor:s} was not the only one in {place} to
    {v_shared:b} the {adjt} {T=thing} , {actor:p} said on {day} .
{Question} Over {T=thing} in {B=place} || {dateline} {number} {actor:p} in {B=place} {v_shared:d}
    the {T=thing} , which {!actor:p} called {worse} than any {!thing} .
{L=actor:s} {P=surname} {state} || {dateline} The {adj} {L=actor:s} {firstname} {P=surname} ,
    once a {!actor:s} , {v_shared:d} a {thing} and a {thing} in {place} on {day} .
{P=surname} {Talks} About {T=thing} || {dateline} It is not the {!thing} but the {T=thing} that
    {adj} {actor:p} {v_shared:d} on {day} , {P=surname} told {!actor:p} .
{T=thing} Returns to {B=place} || {dateline} A {!adjt} {!thing} was all that {!actor:p} talked
    about last year , but now {actor:p} want a {adjt} {T=thing} .
{L=actor:s} {P=surname} Looks Back || {dateline} {!actor:p} know {firstname} {P=surname} for a
    {!thing} , yet it was the {adjt} {thing} that made the {L=actor:s} famous .
A {T=thing} for {B=place} || {dateline} The {actor:s} promised {B=place} a {adjt} {T=thing} on
    {day} and asked {!actor:p} to pay for it {tail} .
{number} {L=actor:p} Meet in {B=place} || {dateline} {L=actor:p} came to {B=place} on {day} to
    {v_shared:b} a {thing} and a {thing} , as {!actor:p} gathered next door for a {!thing} .
{T=thing} {state} || {dateline} Asked about a {!adjt} {!thing} , the {actor:s} {P=person} spoke
    of the {T=thing} and left {number} {actor:p} {waiting} .
{L=actor:p} Split Over {T=thing} || {dateline} Some {L=actor:p} {v_shared:p} the {adjt} {T=thing}
    in {place} and others fear it , {!actor:p} waiting for a {!thing} were told on {day} .

[waiting]
waiting
cheering
puzzled
hopeful

[link]
while
although
as

[waited]
waited
hoped
asked
had no answer

[listened]
listened
had no answer
kept silent
looked on

[asked]
asked
complained
heard

[hoped]
hoped
waited
prepared

[onemore]
another
one more

[worse]
worse
better
more important

[state]
Delayed
in Doubt
Draws Crowd
Gets Second Chance
Under Review
Makes Progress

[surprises]
Surprises
Worries
Pleases
Divides

[Question]
Doubts
Questions
Concern
Worries
Debate

[Talks]
Talks
Asks
Speaks

[v_shared_gone]
surprised
worried
pleased
divided

(v_shared)
welcomes, questions, supports, rejects, discusses, delays, praises, defends, follows, explains,
prepares,
presents, doubts, studies, changes, watches, reviews, criticizes, reports, mentions

[adjt.world]
{w_adj}

[adjt.sports]
{s_game_adj}

[adjt.business]
{b_role_adj}

[adjt.scitech]
{t_role_adj}

[adj.world]
{w_role_adj}

[adj.sports]
{s_role_adj}

[adj.business]
{b_role_adj}

[adj.scitech]
{t_role_adj}

<w_role_adj>
political, national, military, foreign, exiled, nationalist, elected, diplomatic, regional, royal,
conservative, liberal, democratic, armed, civilian

<s_role_adj>
olympic, athletic, unbeaten, young, veteran, top-seeded, professional, amateur, winless,
talented, fit,
injured, junior, energetic, seasoned

<b_role_adj>
corporate, financial, commercial, profitable, retail, industrial, costly, troubled, private,
uncertain,
lucrative, struggling, overpriced, wholesale, taxable

<t_role_adj>
scientific, digital, technical, robotic, wireless, mobile, experimental, electronic, medical,
computerized,
inventive, online, computer-aided, nuclear-powered, clinical

[actor.world.s]
{w_leader} @2
{envoy}

[actor.world.p]
{lawmakers} @2
{rebels}
{protesters}
{diplomats}
{soldiers}

[actor.sports.s]
{coach}
{player} @2
{runner} @2

[actor.sports.p]
{s_people}

<s_people>
players, fans, swimmers, coaches, runners, strikers, skiers, boxers, golfers, referees,
teammates, cyclists,
wrestlers, sprinters, umpires, goalkeepers, gymnasts, racers, pitchers, supporters

[actor.business.s]
{chief}
{b_person} @2

<b_person>
banker, trader, investor, broker, accountant, shareholder, retailer, importer, supplier,
wholesaler, owner,
landlord, economist, manufacturer

[actor.business.p]
{investors} @2
{traders}
{employers}
{economists}
{consumers}

[actor.scitech.s]
{t_person}

<t_person>
scientist, engineer, programmer, astronomer, physicist, inventor, biologist, researcher,
chemist, hacker,
astronaut, mathematician, geologist, surgeon

[actor.scitech.p]
{scientists} @2
{programmers}
{hackers}
{experts}
{users}

[thing.world]
{w_single} @2
{election}
{law}
{dispute}

<w_single>
peace plan, cease-fire, truce, invasion, border post, embassy, parliament, army, summit,
protest, coup, treaty,
refugee camp, peace mission, occupation, alliance, uprising, blockade

[thing.sports]
{game} @2
{race}
{s_single} @2

<s_single>
penalty, league, season, medal, tournament, stadium, record, team, goal, championship, relay,
title, draw,
training camp, trophy, locker room, dugout, offside rule

[thing.business]
{bid}
{b_single} @3

<b_single>
merger, budget, loan, stock sale, price cut, dividend, profit forecast, tax bill, sale, bond,
mortgage, market,
bank, brand, factory, pension fund, bankruptcy, contract, discount, audit, share price, payroll

[thing.scitech]
{software}
{gadget}
{probe} @2
{chip}
{t_single}

<t_single>
experiment, laboratory, telescope, web site, invention, vaccine, password, theory, satellite,
code, network,
prototype, genome, internet service, moon mission, algorithm, microscope, database

[story.world]
{w_vote} @3
{w_war} @3
{w_talks} @3
{w_protest} @2
{w_court} @2
{w_disaster} @2
{w_visit} @2

[w_vote]
{A=country} {Voters} {B=w_leader} in {Election} || {dateline} {A=country} 's {w_officials}
    {counted} the {ballots} on {day} after a {w_adj} {election} {between} {w_group:p} and
    {w_group:p} {tail} .
{P=person} {Wins} {Election} in {A=country} || {dateline} {w_leader} {P=person} {claimed} victory
    on {day} , {promising} to {v_rule:b} the {w_adj} {w_thing} {tail} .
{A=country} {Parliament} {Rejects} {L=law} || {dateline} {lawmakers} in {A=country} {voted}
    against a {w_adj} {L=law} on {w_issue} , and the {w_leader} {threatened} to {resign} {tail} .

[w_war]
{R=rebels} {Attack} {Army} {Base} in {A=country} || {dateline} At least {number} {soldiers}
    {died} when {R=rebels} {v_fight:d} a {w_place} near the {w_adj} {border} on {day} {tail} .
{Fighting} {Spreads} in {A=country} || {dateline} {w_officials} said {soldiers} and {rebels}
    {clashed} for a {nth} day as {w_group:p} {fled} the {w_place} {tail} .
{A=country} {R=army} {Withdraws} From {B=place} || {dateline} The {R=army} of {A=country}
    {withdrew} its {soldiers} from a {w_place} after {w_adj} {shelling} {v_hurt:d} {number}
    {villagers} {tail} .

[w_talks]
{A=country} and {B=country} {Resume} {Peace} Talks || {dateline} {diplomats} from {A=country} and
    {B=country} {met} on {day} to {v_settle:b} a {w_adj} {dispute} over {w_issue} {tail} .
{B=country} {Warns} {A=country} Over {Border} || {dateline} The {w_leader} of {B=country}
    {accused} its neighbor of {v_ing_w} and {recalled} its {diplomat} on {day} {tail} .
{Envoy} {Urges} {Truce} in {A=country} || {dateline} A {w_adj} {envoy} {urged} {rebels} and
    {lawmakers} to {v_settle:b} the {dispute} before the crisis {worsens} {tail} .

[w_protest]
Thousands {March} in {B=place} || {dateline} {protesters} {filled} the streets of {B=place} on
    {day} , {demanding} that the {w_leader} {v_settle:b} the {dispute} over {w_issue} {tail} .
{L=police} and {R=protesters} {Clash} in {A=country} || {dateline} {L=police} {used} {force}
    against {R=protesters} who {blocked} a {w_place} on {day} over a {w_adj} {law} {tail} .

[w_court]
Former {Ruler} of {A=country} {Faces} {Trial} || {dateline} A {w_adj} {tribunal} {charged} the
    former {L=w_leader} {P=person} with {crime} and {crime} on {day} {tail} .
{P=person} {Jailed} in {A=country} || {dateline} {judges} in {B=place} {sentenced} {w_group:s}
    leader {P=person} to {small} years in {prison} for {crime} {tail} .

[w_disaster]
{E=w_calamity} {Kills} {number} in {A=country} || {dateline} {rescuers} {searched} for
    {villagers} on {day} after a {E=w_calamity} {destroyed} {w_homes} in the {w_adj} {region}
    {tail} .
Aid Reaches {E=w_calamity} {Victims} in {A=country} || {dateline} {aid} {arrived} in {B=place}
    for {number} {villagers} who {lost} {w_homes} in the {E=w_calamity} {tail} .

[w_visit]
{A=country} {L=w_leader} {Visits} {B=country} || {dateline} {L=w_leader} {P=person} {arrived} on
    {day} for {w_adj} talks with {lawmakers} about {w_issue} {tail} .
{P=person} {Named} {L=w_leader} of {A=country} || {dateline} {lawmakers} {chose} {P=person} as
    {L=w_leader} on {day} , ending {small} weeks of {w_adj} {dispute} {tail} .

[Voters]
Voters Reject
Voters Choose New
Votes for

[Election]
Election
Vote
Close Vote

[Wins]
Wins
Claims

[Parliament]
Parliament
Assembly
Senate

[Rejects]
Rejects
Delays
Votes Down

[Attack]
Attack
Storm
Strike

[Army]
{army}

[Base]
Base
Camp
Post

[Fighting]
Fighting
Unrest
Violence

[Spreads]
Spreads
Goes On
Flares

[Withdraws]
Withdraws
Pulls Back

[Resume]
Resume
Begin
Agree to

[Peace]
Peace
New

[Warns]
Warns
Accuses

[Border]
Border
{w_issue}

[Envoy]
{envoy}

[Urges]
Urges
Seeks
Offers

[Truce]
Truce
Calm

[March]
March
Protest
Rally

[Clash]
Clash
Meet

[Ruler]
{L=w_leader}

[Faces]
Faces
Awaits

[Trial]
Trial
{crime} Charges

[Jailed]
Jailed
Sent to {prison}

[Kills]
Kills
Strands

[Victims]
Victims
Survivors

[Visits]
Visits
Arrives in

[Named]
Named
Chosen as

[counted]
counted
checked
disputed

[between]
between

[claimed]
claimed
declared

[promising]
promising
pledging

[voted]
voted

[threatened]
threatened
offered
refused

[resign]
resign
step down
call new elections

[died]
died
were killed
were captured

[fled]
fled
left

[clashed]
clashed
fought

[withdrew]
withdrew
pulled back
moved

[met]
met
gathered
sat down

[accused]
accused
suspected

[recalled]
recalled
called home

[urged]
urged
asked
begged

[worsens]
worsens
leads to bloodshed
splits the country

[filled]
filled
took over
crowded

[demanding]
demanding
insisting

[used]
used

[blocked]
blocked
surrounded
occupied

[charged]
charged

[sentenced]
sentenced
sent

[searched]
searched
looked

[destroyed]
destroyed
swept away
damaged

[arrived]
arrived

[lost]
lost

[chose]
chose
elected
confirmed

<w_leader>
president, prime minister, foreign minister, king, governor, interior minister, defense minister,
chancellor, general, vice president, ruler, premier, queen, mayor, ambassador, opposition leader,
dictator, emperor

<w_officials>
officials, ministers, election monitors, authorities, diplomats, election judges,
government aides,
observers, local councils, village elders

<lawmakers>
lawmakers, members of parliament, senators, ministers, deputies, party leaders,
opposition members,
cabinet members, politicians, coalition partners

<w_group.p>
nationalists, conservatives, liberals, socialists, reformers, hard-liners, refugees, minorities,
opposition parties, tribal leaders, separatists, clerics, exiles, monarchists, moderates,
civilians

<w_group.s>
opposition, party, union, militia, student, separatist, resistance, nationalist, guerrilla,
religious

<election>
election, vote, referendum, ballot, campaign, runoff, poll, plebiscite

<ballots>
ballots, votes, results, returns, voter lists

<law>
law, treaty, bill, constitution, decree, budget, reform, pact, accord, amendment

<w_adj>
bitter, fragile, divided, national, political, disputed, tense, historic, military, civil,
northern,
southern, foreign, ethnic, democratic, emergency, religious, secret, violent, tribal, diplomatic,
rural, bloody, troubled, provincial, colonial

<w_thing>
country, nation, government, army, province, constitution, republic, state, monarchy,
police force,
capital, kingdom

<v_rule>
reforms, unites, rebuilds, defends, governs, disarms, modernizes, frees

<w_issue>
the border, oil revenue, refugees, water rights, nuclear arms, human rights, the disputed islands,
prisoners of war, immigration, land reform, press freedom, election rules, foreign troops,
fishing rights,
food prices, sanctions, the succession, amnesty, corruption, torture, asylum

<rebels>
rebels, gunmen, militants, insurgents, guerrillas, armed men, fighters, militias, bandits,
extremists

<soldiers>
soldiers, troops, peacekeepers, policemen, guards, marines, recruits, paratroopers

<army>
army, military, navy, air force, security forces, militia, infantry

<v_fight>
attacks, bombs, raids, seizes, storms, shells, ambushes, besieges

<v_hurt>
kills, wounds, injures, displaces, traps, frightens

<shelling>
shelling, bombing, fighting, gunfire, air strikes, mortar fire, clashes, rocket attacks,
sniper fire

<w_place>
village, army base, police station, mosque, capital, checkpoint, refugee camp, bridge, embassy,
border town,
prison, government building, airport, palace, harbor, barracks, cathedral, convoy

<border>
border, frontier, capital, coast, front line, buffer zone, mountains

<villagers>
villagers, civilians, people, families, refugees, children, farmers, residents, peasants, hostages

<diplomats>
diplomats, negotiators, ministers, envoys, delegates, presidents, mediators

<diplomat>
ambassador, envoy, consul, delegation

<envoy>
envoy, mediator, ambassador, bishop, diplomat, cardinal, peace envoy

<v_settle>
settles, ends, resolves, discusses, mediates, calms

<dispute>
dispute, conflict, crisis, war, standoff, feud, quarrel, civil war, deadlock, rivalry

<v_ing_w>
spying, sending troops across the border, breaking the truce, arming rebels, blocking aid,
sheltering gunmen,
plotting a coup, smuggling weapons, annexing land, expelling refugees

<protesters>
protesters, students, workers, demonstrators, opposition supporters, monks, crowds, marchers,
dissidents

<police>
police, riot police, soldiers, security forces, guards

<force>
tear gas, force, water cannon, batons, rubber bullets

<crime>
treason, corruption, murder, war crimes, fraud, kidnapping, torture, bribery, genocide, terrorism,
spying, election fraud, sedition, perjury

<tribunal>
court, tribunal, panel of judges, military court, jury, commission

<judges>
judges, prosecutors, magistrates

<prison>
prison, jail, exile, a labor camp

<w_calamity>
flood, earthquake, storm, landslide, drought, wildfire, hurricane, cyclone, famine, mudslide

<rescuers>
rescuers, soldiers, relief workers, volunteers, doctors, red cross teams, firefighters

<w_homes>
homes, villages, crops, schools, roads, houses, farms, shelters, harvests

<region>
region, province, valley, highlands, delta, islands, district

<aid>
aid, food, medicine, tents, blankets, clean water, relief flights, rice, grain

[story.sports]
{s_match} @5
{s_signing} @2
{s_injury} @2
{s_coach} @2
{s_race} @2
{s_tennis} @2
{s_ban} @1

[s_match]
{A=team} {Beat} {B=team} || {dateline} {P=surname} {scored} {small} {goals} in the {period} as
    {A=team} {v_match:d} {s_role_adj} {B=team} in a {s_game_adj} {game} {tail} .
{A=team} {v_match:p} {B=team} in {s_game_adj} {game} || {dateline} {player} {P=person} {v_play:d}
    {score} on {day} to {lift} {A=team} past their {s_role_adj} {rivals} {tail} .
{P=surname} {Leads} {A=team} to {Title} || {dateline} {A=team} won the {s_cup} on {day} when
    {player} {firstname} {P=surname} {v_play:d} {score} in the {period} {tail} .
{A=team} and {B=team} Draw || {dateline} {A=team} {v_waste:d} an early lead in the {period} and
    had to {settle} for a draw at {B=team} 's {stadium} {tail} .

[s_signing]
{A=team} {Signs} {P=surname} || {dateline} {A=team} {signed} {s_role_adj} {player} {firstname}
    {P=surname} on {day} , hoping to {v_improve:b} their {s_part} before the {s_cup} {tail} .
{P=surname} to {Leave} {A=team} || {dateline} {s_role_adj} {player} {firstname} {P=surname} will
    {join} {B=team} next {season} after {small} {s_role_adj} years at the {stadium} {tail} .

[s_injury]
{P=surname} {Out} for {A=team} || {dateline} {player} {firstname} {P=surname} will miss {small}
    {games} with a {injury} , the {coach} of {A=team} said on {day} {tail} .
{U=injury} {Ends} {P=surname} 's {Season} || {dateline} {A=team} lost their {s_role_adj} {player}
    when {firstname} {P=surname} {left} the {game} with a {U=injury} in the {period} {tail} .

[s_coach]
{A=team} {Fires} {U=coach} || {dateline} {A=team} {dismissed} their {U=coach} on {day} after
    {small} straight {losses} left them {s_rank} in the {league} {tail} .
{P=surname} {Named} {Coach} of {A=team} || {dateline} Former {player} {firstname} {P=surname}
    will {train} {A=team} , who finished {s_rank} in the {league} last {season} {tail} .

[s_race]
{P=surname} {Wins} {Race} in {B=place} || {dateline} {firstname} {P=surname} {outran} a
    {s_role_adj} field on {day} to win the {R=race} and {v_earn:b} a {medal} {tail} .
{P=surname} {Sets} Record in {Race} || {dateline} {s_role_adj} {runner} {firstname} {P=surname}
    {v_break:d} the {record} in the {R=race} , {small} {units} ahead of the field {tail} .

[s_tennis]
{P=surname} {Reaches} {U=s_round} in {B=place} || {dateline} {s_role_adj} {firstname} {P=surname}
    {beat} {Q=person} in {small} {sets} on {day} , {v_hit} {tennis} to reach the {U=s_round} of
    the {open} {tail} .
{P=surname} {Loses} to {Q=surname} || {dateline} {s_role_adj} {firstname} {P=surname} {v_waste:d}
    {small} {s_points} and lost to {firstname} {Q=surname} in the {s_round} of the {open} {tail}
    .

[s_ban]
{P=surname} {Banned} for {small} {Games} || {dateline} The {league} {suspended} {A=team} {player}
    {firstname} {P=surname} for {offence} during the {game} against {B=team} {tail} .

[Beat]
Beat
Edge
Stun
Rout

[Leads]
Leads
Lifts
Sends

[Title]
Title
Cup
Victory

[Signs]
Sign
Buy
Land

[Leave]
Leave
Quit

[Out]
Out
Sidelined
Doubtful

[Ends]
Ends
Stops

[Season]
Season
Run

[Fires]
Fire
Drop

[Coach]
{coach}

[Race]
{R=race}

[Sets]
Sets
Breaks

[Reaches]
Reaches
Storms Into

[Loses]
Loses
Falls

[Banned]
Banned
Suspended

[Games]
Games
Matches

[scored]
scored
added
had

[lift]
lift
carry
send

[settle]
settle

[signed]
signed
bought
hired

[join]
join
play for
move to

[dismissed]
dismissed
fired
replaced

[left]
left
limped out of

[train]
coach
train
lead

[outran]
outran
led
beat

[beat]
beat
defeated
upset

[suspended]
suspended
fined
banned

<goals>
goals, points, touchdowns, runs, baskets, tries, home runs, free throws, penalties

<period>
second half, final minutes, first half, ninth inning, fourth quarter, extra time, final seconds,
overtime,
last set, opening period, closing stages

<v_match>
beats, defeats, holds, crushes, stuns, routs, edges, tops, overcomes, upsets, outplays, thrashes

<s_game_adj>
close, thrilling, one-sided, physical, sloppy, fast, tense, lopsided, rough, scoreless, bruising,
high-scoring, defensive, tough

<game>
game, match, final, derby, playoff game, semifinal, contest, opener, home game, rematch, friendly

<games>
games, matches, weeks, starts, races, tournaments, fixtures

<player>
striker, goalkeeper, captain, quarterback, pitcher, defender, midfielder, forward, batsman,
guard, center,
winger, catcher, fullback, bowler, shortstop, rookie, linebacker, outfielder

<v_play>
scores, hits, makes, kicks, converts, adds, nets, delivers

<score>
the winning goal, two late goals, a penalty, a free kick, the deciding run, a hat trick,
three touchdowns,
a home run, the only goal, a last-minute header, a jump shot, the tying basket, a long field goal,
a century, a grand slam

<rivals>
rivals, opponents, visitors, hosts, champions, leaders, challengers, favorites, neighbors

<s_cup>
cup, league title, championship, playoffs, final, tournament, world cup, trophy, pennant,
super bowl,
champions league

<v_waste>
wastes, loses, drops, squanders, surrenders

<stadium>
stadium, ground, field, arena, ballpark, club, gym

<v_improve>
improves, strengthens, rebuilds, steadies, repairs

<s_part>
defense, attack, midfield, offense, pitching, bench, squad, lineup, bullpen, backfield

<season>
season, spring, summer, year, month

<injury>
knee injury, broken foot, sore shoulder, hamstring strain, back injury, ankle sprain,
groin injury,
broken hand, calf strain, concussion, bruised rib, torn ligament

<coach>
coach, manager, trainer, head coach, skipper

<losses>
losses, defeats, home defeats, road losses, draws

<s_rank>
last, bottom, ninth, second, next to last, winless, fourth

<league>
league, division, conference, federation, premier league, association, standings

<race>
marathon, sprint, 100 meters, downhill, cycling race, grand prix, road race, relay,
rowing final, slalom,
mile, triathlon, regatta, hurdles, decathlon, butterfly

<medal>
gold medal, medal, title, crown, silver medal, place on the team, podium finish, bronze medal

<runner>
runner, swimmer, skier, cyclist, driver, sprinter, rower, jockey, athlete, jumper, skater, gymnast

<v_earn>
earns, wins, takes, claims, clinches

<v_break>
breaks, sets, beats, shatters, equals

<record>
world record, national record, course record, track record, olympic record, lap record

<units>
seconds, meters, minutes, laps, lengths, strokes

<sets>
sets, straight sets, games, tie breaks, rounds

<v_hit>
playing, using, serving up, showing

<tennis>
fine tennis, a strong serve, a powerful forehand, steady ground strokes, quick volleys,
a deft backhand

<s_round>
final, semifinal, second round, quarterfinal, third round, opening round

<open>
open, masters, clay court event, grass court tournament, golf open, indoor event

<s_points>
match points, set points, chances, break points, putts

<offence>
a late tackle, doping, fighting, a bad foul, striking a referee, betting, steroid use, spitting,
an elbow,
insulting an umpire, a head butt

[story.business]
{b_profit} @4
{b_merger} @3
{b_market} @3
{b_jobs} @2
{b_bank} @2
{b_fraud} @2
{b_trade} @2

[b_profit]
{A=company} {Profit} {Rises} {N=percent} || {dateline} {A=company} said {quarterly} {profit}
    {rose} {N=percent} on {b_adj} {sales} of {goods} {tail} .
{A=company} {Posts} {Loss} || {dateline} {A=company} {posted} a {b_adj} {loss} of {money} on
    {day} as {costs} {v_up:d} and {sales} of {goods} {v_down:d} {tail} .
{A=company} {Cuts} {Outlook} || {dateline} {b_role_adj} {b_firm} {A=company} {warned} {investors}
    on {day} that {costs} would {v_harm:b} its {profit} this {quarter} {tail} .

[b_merger]
{A=company} to {Buy} {B=company} || {dateline} {b_firm} {A=company} {agreed} on {day} to {buy}
    {b_role_adj} rival {B=company} for {money} in {payment} {tail} .
{B=company} {Rejects} {Bid} From {A=company} || {dateline} The {board} of {B=company} {rejected}
    a {b_adj} {bid} of {money} , telling {investors} to {wait} {tail} .
{A=company} {Sells} {Unit} || {dateline} {A=company} {sold} its {b_adj} {goods} {unit} for
    {money} to {v_save:b} {costs} and {v_pay:b} {debt} {tail} .

[b_market]
{T=stocks} {Fall} on {U=b_worry} || {dateline} {T=stocks} {v_down:d} on {day} as {investors}
    {worried} about {U=b_worry} and {b_adj} {sales} at {b_firm} {A=company} {tail} .
{O=b_oil} {Prices} {Move} || {dateline} {O=b_oil} {v_up:d} {percent} on {day} after {traders}
    {heard} of {b_adj} {demand} for {goods} {tail} .
{A=company} {Shares} {Move} || {dateline} {shares} of {A=company} {v_up:d} {percent} in {b_adj}
    {trading} after an {analyst} {praised} its {b_plan} {tail} .

[b_jobs]
{A=company} to {Cut} {number} {Jobs} || {dateline} {b_role_adj} {b_firm} {A=company} will {close}
    {small} {plants} and {v_lay:b} {number} {employees} to {v_save:b} {costs} {tail} .
{Hiring} {Slows} || {dateline} {employers} {added} only {number} {jobs} last month , a {b_adj}
    sign for {economy} and for {stocks} {tail} .

[b_bank]
{Central} Bank {Raises} Rates || {dateline} {bankers} {raised} {rates} to {percent} on {day} ,
    citing {b_worry} and {b_adj} {demand} {tail} .
{Economy} {Grows} {N=percent} || {dateline} {economy} {grew} {N=percent} last {quarter} as
    {consumers} {bought} more {goods} , {economists} said {tail} .

[b_fraud]
{A=company} {U=chief} {Resigns} || {dateline} {U=chief} {P=person} of {b_firm} {A=company} {quit}
    on {day} after {auditors} {found} {b_adj} {fraud} {tail} .
{A=company} to Pay {M=money} to {Settle} {Suit} || {dateline} {A=company} will pay {investors}
    {M=money} to {settle_suit} charges that it {hid} {debt} and {b_adj} {costs} {tail} .

[b_trade]
{A=company} {Opens} {U=plant} in {B=place} || {dateline} {A=company} will {spend} {money} on a
    {b_adj} {U=plant} in {B=place} to make {goods} {tail} .
{A=company} {Raises} Prices of {G=goods} || {dateline} {A=company} {blamed} {b_worry} and {b_adj}
    {costs} as it {raised} the prices of its {G=goods} {tail} .

[Profit]
Profit
Net
{profit}

[Rises]
Rises
Climbs
Up

[Posts]
Posts
Reports

[Loss]
Loss
Wider Loss

[Cuts]
Cuts
Lowers

[Outlook]
Outlook
Forecast

[Buy]
Buy
Acquire
Merge With

[Bid]
Bid
Offer

[Sells]
Sells
Drops

[Unit]
Unit
{goods} Unit

[Fall]
Fall
Slide
Dip

[Prices]
Prices
Market

[Move]
Higher
Climb
Up

[Shares]
Shares
Stock

[Cut]
Cut
Shed

[Jobs]
Jobs
{employees}

[Hiring]
Hiring
Job Growth

[Slows]
Slows
Weakens

[Central]
Central

[Raises]
Raises
Lifts

[Economy]
Economy

[Grows]
Grows
Expands

[Resigns]
Resigns
Steps Down

[Settle]
Settle
End

[Suit]
Suit
Case

[Opens]
Opens
Plans

[rose]
rose
climbed
went up

[posted]
posted
reported

[warned]
warned
told

[agreed]
agreed
offered

[buy]
buy
acquire
take over

[rejected]
rejected
turned down

[wait]
wait
hold on

[sold]
sold

[worried]
worried
heard

[heard]
heard
spoke

[praised]
praised
raised hopes for

[close]
close
shut

[added]
added
created

[raised]
raised

[grew]
grew
expanded

[bought]
bought

[quit]
quit
resigned

[found]
found
reported

[hid]
hid

[settle_suit]
settle

[spend]
spend
invest

[blamed]
blamed
cited

<b_firm>
retailer, bank, airline, carmaker, insurer, drug maker, brewer, oil company, steel maker,
grocery chain, lender,
shipping line, food company, phone company, homebuilder, hotel chain, broker, toy maker,
clothing chain,
mining company, railroad, restaurant chain, utility

<quarterly>
quarterly, annual, third-quarter, first-half, yearly, operating, net

<profit>
profit, earnings, income, revenue, cash flow, dividend, margins, turnover

<b_adj>
weak, strong, heavy, slow, higher, record, cheap, costly, large, rising, falling, steady,
hostile, corporate,
retail, wholesale, financial, bankrupt, troubled, flat, sluggish, lower, expensive, profitable,
brisk, wide

<sales>
sales, orders, exports, deliveries, shipments, bookings

<goods>
clothing, cars, trucks, steel, beer, shoes, furniture, medicines, coffee, toys, groceries,
insurance, carpets,
gasoline, paper, copper, cement, sugar, tobacco, cosmetics, lumber, jewelry, tires

<loss>
loss, charge, deficit, shortfall, tax charge, write-off

<costs>
fuel costs, labor costs, interest costs, wages, taxes, rents, energy prices, pension costs,
overhead

<v_up>
rises, climbs, jumps, grows, surges, soars, rallies

<v_down>
falls, drops, declines, slides, sinks, slips, dips, tumbles, slumps

<v_harm>
hurts, cuts, reduces, shrinks, lowers, erodes, squeezes

<investors>
investors, shareholders, analysts, creditors, lenders, traders, bondholders, stockholders

<quarter>
quarter, year, month, fiscal year, holiday season

<payment>
cash, stock, cash and stock, shares, bonds

<board>
board, directors, owners, chairman, trustees

<bid>
bid, offer, takeover bid, buyout, proposal, merger

<unit>
unit, business, division, brand, subsidiary, franchise

<v_save>
saves, cuts, trims, reduces, lowers

<v_pay>
pays, repays, refinances, covers

<debt>
debt, loans, its bonds, its creditors, pension liabilities

<stocks>
stocks, shares, blue chips, bank stocks, bonds, retail stocks, futures, share prices

<b_worry>
inflation, high oil prices, interest rates, weak earnings, unemployment, the trade deficit,
bad loans,
rising wages, a weak dollar, slow spending, consumer debt, tariffs, recession

<b_oil>
oil, crude oil, gold, copper, the dollar, wheat, natural gas, silver, coffee, aluminum

<traders>
traders, dealers, brokers, buyers, refiners, speculators

<demand>
demand, supplies, stocks, orders, spending, consumption

<shares>
shares, stock

<trading>
trading, early trading, dealings, volume

<analyst>
analyst, broker, investor, economist

<b_plan>
restructuring, expansion, sales plan, dividend, store openings, cost cuts, turnaround,
share buyback

<plants>
plants, stores, factories, branches, warehouses, mines, outlets, refineries

<plant>
plant, store, factory, warehouse, mill, refinery, showroom

<v_lay>
lays off, dismisses, cuts, drops

<employees>
employees, workers, managers, clerks, staff members, cashiers

<employers>
employers, factories, companies, retailers, builders, manufacturers

<jobs>
jobs, positions, payroll jobs, factory jobs

<economy>
the economy, the housing market, manufacturing, the retail sector, consumer spending, industry

<bankers>
central bankers, policy makers, bank governors, the reserve bank

<rates>
interest rates, lending rates, its key rate, borrowing costs

<consumers>
consumers, shoppers, households, companies, exporters

<economists>
economists, analysts, bankers, forecasters

<chief>
chief executive, chairman, finance chief, founder, treasurer, vice chairman

<auditors>
auditors, regulators, accountants, directors

<fraud>
accounting errors, losses, debts, fraud, insider trading, bookkeeping, hidden fees, tax evasion

[story.scitech]
{t_software} @3
{t_security} @3
{t_space} @3
{t_study} @3
{t_device} @3
{t_web} @2
{t_nature} @2

[t_software]
{A=techfirm} {Releases} {S=software} || {dateline} {A=techfirm} {released} a {t_adj} version of
    its {S=software} on {day} , with {t_adj} {t_tools} for {users} {tail} .
{A=techfirm} Opens Code of {S=software} || {dateline} {programmers} can now {v_code:b} the {code}
    of the {t_adj} {S=software} from {A=techfirm} and add {t_tools} {tail} .

[t_security]
{Flaw} Found in {A=techfirm} {S=software} || {dateline} {experts} {found} a {t_adj} {flaw} that
    lets {hackers} {v_hack:b} {computers} running the {S=software} from {A=techfirm} {tail} .
New {T=malware} Spreads by {t_mail} || {dateline} A {t_adj} {T=malware} {v_hack:d} {number}
    {computers} on {day} , {experts} at {A=techfirm} said {tail} .

[t_space]
{T=probe} {Reaches} {U=planet} || {dateline} A {t_adj} {T=probe} {v_space:d} {U=planet} on {day}
    and sent back {images} of its {surface} to {scientists} {tail} .
{Scientists} {Spot} {Far} {T=star} || {dateline} {scientists} using a {t_adj} {telescope}
    {v_find:d} a {T=star} {number} light years from {planet} {tail} .
{Launch} of {T=probe} Delayed || {dateline} {engineers} {v_delay:d} the launch of a {t_adj}
    {T=probe} on {day} after a {fault} in the {rocket} {tail} .

[t_study]
Study Links {t_cause} to {t_effect} || {dateline} {scientists} who {v_study:d} {number}
    {subjects} found that {t_cause} may {v_affect:b} {t_effect} {tail} .
{Scientists} {Grow} {U=t_tissue} in {Lab} || {dateline} A {t_team} of {scientists} {v_make:d}
    {U=t_tissue} from {cells} , a step toward treating {t_effect} {tail} .

[t_device]
{A=techfirm} {Shows} {t_adj} {T=gadget} || {dateline} {A=techfirm} {showed} a {t_adj} {T=gadget}
    on {day} that {v_does} {media} and {v_does} {t_mail} {tail} .
{Faster} {T=chip} From {A=techfirm} || {dateline} {engineers} at {A=techfirm} {v_make:d} a
    {t_adj} {T=chip} that will {v_speed:b} {computers} and {gadgets} {tail} .

[t_web]
{A=techfirm} {Adds} {t_tools} to {Web} {site} || {dateline} {users} of the {t_adj} {site} from
    {A=techfirm} can now {v_web:b} {media} and {media} {tail} .
More {users} {Go} Online for {media} || {dateline} {number} {users} now {v_web:b} {media} over
    {network} , a {t_adj} survey by {scientists} found {tail} .

[t_nature]
{T=fossil} Found in {A=country} || {dateline} {scientists} {v_find:d} the {T=fossil} of {old}
    {animal} that lived {number} million years ago {tail} .
{T=t_climate} {Harms} {U=subjects} || {dateline} {T=t_climate} may {v_affect:b} {U=subjects}
    sooner than {computers} had predicted , {scientists} {wrote} in a {journal} {tail} .

[Releases]
Releases
Updates
Tests

[released]
released
showed
tested

[Flaw]
{flaw}

[Scientists]
{scientists}

[Spot]
Spot
Find
See

[Far]
Distant
New
Bright

[Launch]
Launch

[Grow]
Grow
Make

[Lab]
Lab
Dish

[Shows]
Shows
Unveils

[showed]
showed
unveiled
demonstrated

[Faster]
Faster
Smaller
Cooler

[Adds]
Adds
Brings

[Web]
Web

[Go]
Go
Turn

[Harms]
Threatens
Changes Life of

[wrote]
wrote
reported

<software>
operating system, web browser, search engine, database, email program, media player,
music program,
spreadsheet, photo program, game console, linux server, messaging program, desktop program,
word processor,
server program, firewall, compiler

<t_adj>
new, free, digital, wireless, tiny, robotic, powerful, open-source, faster, online, electronic,
simple, scientific,
experimental, smart, portable, mobile, virtual, solar, genetic, handheld, high-speed, clever,
three-dimensional,
interactive, automated

<t_tools>
search tools, security features, maps, privacy settings, voice tools, video chat, plug-ins,
spelling tools,
file sharing, filters, tabs, menus, shortcuts, encryption, icons, widgets

<users>
users, developers, programmers, web surfers, students, gamers, bloggers, subscribers, teenagers,
hobbyists

<programmers>
programmers, developers, volunteers, researchers, coders

<v_code>
reads, changes, tests, copies, rewrites, downloads, compiles

<code>
source code, code, inner workings, program files, kernel

<experts>
experts, security researchers, engineers, computer scientists, analysts, cryptographers

<flaw>
security hole, flaw, bug, security flaw, software bug, back door, glitch, loophole

<hackers>
hackers, attackers, spammers, criminals, intruders, thieves

<v_hack>
infects, crashes, controls, slows, hijacks, scans, disables

<computers>
computers, machines, servers, laptops, networks, web sites, personal computers, home computers,
mainframes

<malware>
virus, worm, spam attack, spyware program, computer virus, trojan, phishing scam

<t_mail>
email, text messages, instant messages, voice calls, voice mail, web pages

<probe>
spacecraft, space probe, satellite, robot, space telescope, orbiter, rocket, rover,
space shuttle, lander, capsule

<planet>
Mars, Saturn, the moon, Venus, Jupiter, Titan, Mercury, a comet, an asteroid, the sun, Pluto,
Neptune

<v_space>
reaches, orbits, photographs, circles, approaches, maps, explores

<images>
images, pictures, data, photographs, signals, readings

<surface>
surface, rings, atmosphere, clouds, craters, dust, ice, magnetic field, gravity

<scientists>
scientists, astronomers, researchers, physicists, biologists, research teams, chemists,
geologists,
doctors, geneticists, climate scientists, botanists

<telescope>
telescope, camera, detector, radio telescope, space camera, infrared sensor

<v_find>
finds, discovers, spots, studies, detects, identifies, photographs

<star>
planet, star, galaxy, black hole, comet, cloud of gas, supernova, moon, dwarf planet

<engineers>
engineers, scientists, mission controllers, designers, technicians

<v_delay>
delays, stops, postpones, cancels

<fault>
fault, leak, crack, computer error, short circuit, fuel leak, sensor failure

<rocket>
rocket, engine, fuel tank, booster, guidance system, launch pad, heat shield

<t_cause>
sleep, a gene, a virus, sugar, light, a protein, exercise, air pollution, stress, a hormone,
an enzyme, caffeine,
brain activity, bacteria

<t_effect>
cancer, memory, heart disease, aging, weight gain, diabetes, depression, pain, vision,
alzheimer 's disease,
asthma, high blood pressure

<v_study>
studies, tests, examines, tracks, observes, monitors

<subjects>
mice, patients, birds, whales, insects, plants, fish, monkeys, volunteers, coral reefs, frogs,
bees, rats, turtles,
twins, penguins

<v_affect>
affects, causes, slows, changes, harms, prevents, triggers

<t_tissue>
brain cells, skin, heart tissue, human cells, blood vessels, nerve cells, stem cells, bone, muscle

<v_make>
makes, builds, grows, develops, creates, invents

<t_team>
team, group, laboratory, institute

<cells>
stem cells, mice, human cells, embryos, bone marrow, fat cells

<gadget>
phone, music player, laptop, camera, robot, computer, video player, screen, watch, printer,
handset, tablet,
game console, scanner, headset, keyboard

<gadgets>
phones, cameras, laptops, music players, robots, game consoles, gadgets, handsets, satellites

<v_does>
plays, stores, sends, records, shares, displays, downloads, streams

<media>
music, video, photos, movies, games, songs, maps, news, files, television shows, podcasts,
blogs, recipes

<chip>
chip, processor, memory chip, hard drive, battery, laser, circuit, graphics chip, transistor,
semiconductor

<v_speed>
speeds up, cools, powers, connects, controls, shrinks

<site>
site, search site, photo site, blog, web service, portal, chat room, encyclopedia

<v_web>
shares, searches, downloads, watches, stores, edits, uploads, browses

<network>
the internet, wireless networks, broadband, cable, the web, mobile phones, fiber lines

<fossil>
fossil, skull, skeleton, remains, footprint, bones

[old]
a large
a small
a giant
an early
an unknown

<animal>
dinosaur, bird, fish, ape, reptile, mammal, insect, elephant, whale, shark, lizard, mammoth

<t_climate>
global warming, warmer water, melting ice, climate change, acid rain, pollution,
rising sea levels, ozone loss

<journal>
journal, study, paper, report, survey

[tail]
 , {source} @2
 {when_where} @2
 , {!aside} @5
 {reason} @2
{nothing} @4

(nothing)
 

[source]
{spokes} said
according to {spokes}
a spokesman for {company} said
local newspapers reported

(spokes)
officials, a spokesman, people familiar with the matter, witnesses, a report,
two people who were there

[when_where]
in {place}
for the {nth} time this year
in front of a large crowd
after a long delay
late on {day}

[reason]
despite {doubts}
after weeks of {doubts}
and said more news would come soon
, ending weeks of {doubts}

(doubts)
doubts, rumors, complaints, bad weather, uncertainty, warnings, criticism, speculation

[aside.world]
a day after the {w_leader} of {country} {visited}
in a step that {lawmakers} had {sought}
while {protesters} gathered outside
despite the {dispute} with {country}
with the {w_leader} among the guests
under a new {law} on {w_issue}

[aside.sports]
a day before the {game}
in a move announced at the {A=team} {stadium}
with {player} {person} among the guests
on the day of the {race}
and {team} will wear its name next season
as fans waited for the {game} against {team}

[aside.business]
as {stocks} {v_down:d}
in a deal worth {money}
with {b_firm} {company} paying the bill
in spite of {b_worry}
a blow to {b_firm} {company} and its {investors}
after {b_firm} {company} withdrew its support

[aside.scitech]
in pictures sent by {gadget}
with the help of a {t_adj} {software}
and the news spread quickly over {network}
after {hackers} broke into its {computers}
in a project watched by {scientists}
using {computers} from {techfirm}

(visited)
visited, left, spoke, flew home

(sought)
sought, opposed, expected, feared

[dateline]
{city} ( {agency} ) - @3
{agency} - @2
{city} - @2
{nothing} @3

(agency)
NWP, Northwire, Daily Post, Meridian News, Courier, Globe Press

(city)
PORT ELLERY, ASHVALE, HARWICK, NEW CALDER, MARLOW BAY, TARNFORD, KARESH, SAN OVIDO, DUNMERE,
LANTRY,
OSTERBERG, VELINA

[place]
{placename}

(placename)
Port Ellery, Ashvale, Harwick, New Calder, Marlow Bay, Tarnford, Karesh, San Ovido, Dunmere,
Lantry,
Osterberg, Velina, Eastmoor, Grand Lake, Stonebridge, Rivermouth, Santa Belda, Old Harbor

(country)
Valmora, Karedia, North Tesh, South Tesh, Ostania, Belmaria, Zandia, Morvania, Luristan, Tarkia,
West Orland, Costa Verda, Elbania, Sarovia, Nuria, Kesh, Almeira, Dravia

[team]
{teamtown} {nickname}

(teamtown)
Harwick, Ashvale, Lantry, Dunmere, Calder, Tarnford, Eastmoor, Stonebridge, Marlow, Osterberg,
Ellery,
Velina, Northgate, Kingsley, Redhill, Ovido

<nickname>
United, Rovers, Tigers, City, Hawks, Rangers, Giants, Bears, Athletic, Eagles, Wolves, Lions,
Pirates, Kings,
Falcons, Bulls, Knights, Wanderers, Sharks, Royals

[company]
{firmname} {corp}

(firmname)
Harlan, Bexley, Corvane, Westmark, Dalton, Ferris, Granwell, Norvik, Palmer, Orion, Trent,
Vossberg,
Kelland, Lumen, Argent, Sterling, Redfern, Holloway, Marsh, Brandt

<corp>
Corp., Inc., Group, Holdings, Industries, Brothers, Partners, Co., Trust, Enterprises,
International

[techfirm]
{firmname} {techcorp}

<techcorp>
Systems, Software, Corp., Inc., Networks, Labs, Computer, Technologies, Online, Digital,
Interactive, Robotics

[person]
{firstname} {lastname}

[surname]
{lastname}

(firstname)
Anna, Peter, Maria, David, Elena, Samuel, Ruth, Victor, Nadia, Thomas, Clara, Omar, Julia,
Martin, Sofia,
Daniel, Irene, Paul, Leila, Robert, Grace, Andre, Helen, Marco

(lastname)
Keller, Moran, Okoro, Lind, Vasquez, Harding, Petrov, Sato, Brennan, Costa, Weiss, Farrow, Aziz,
Nolan,
Jansen, Ribeiro, Cole, Marek, Duval, Strand, Ito, Barlow, Quinn, Ferrer, Holm, Abbott, Ramos, Tate

(teen)
10, 11, 12, 14, 15, 18, 20, 25

(digit)
2, 3, 4, 5, 6, 7, 8, 9

(number)
12, 14, 20, 25, 30, 40, 60, 75, 90, 120, 200, 300, 450, 800

(small)
two, three, four, five, six, seven, eight

(nth)
second, third, fourth, fifth

(day)
Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday

[percent]
{small} percent
{teen} percent

[money]
$ {number} million
$ {digit} billion
"""
