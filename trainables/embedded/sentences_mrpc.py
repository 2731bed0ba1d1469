"""Grammar of the newswire sentence pairs (see grammar.py for the notation).

A text is ``first sentence || second sentence``. The contexts are ``same`` (the second says again
what the first says) and ``other`` (it tells of the same matter, but something else). Many pairs
that differ carry words of contrast or of a new turn, many that agree words of restatement; for the
others (the first line of each section) only comparing the two will tell.
"""

PAIRS = """
[pair]
{S=firm} agreed to buy {T=firm} for {N=amount} on {D=day} . || {buy}
{S=firm} will cut {N=count} jobs at its plant in {C=city} . || {cut}
police in {C=city} arrested {N=few} men after {X=crime} on {D=day} . || {arrest}
shares of {S=firm} {V=v_move:d} {N=percent} percent on {D=day} . || {shares}
a court in {C=city} ordered {S=firm} to pay {N=amount} to {G=group} . || {court}
the {A=team} beat the {B=team} {N=score} in {C=city} on {D=day} . || {game}
a {X=storm} killed {N=few} people near {C=city} on {D=day} . || {storm2}
researchers in {C=city} found that {X=habit} lowers the risk of {Y=disease} . || {study}
the governor signed a bill on {D=day} that {V=v_law} {X=lawthing} . || {law}
{P=name} , the chief executive of {S=firm} , resigned on {D=day} . || {quit}
{S=firm} said its profit {V=v_move:d} to {N=amount} in the quarter . || {profit}
the president met leaders of {G=group} in {C=city} on {D=day} . || {meet}

[buy.same]
{S=same} will pay {N=same} for {T=same} , the firms said on {D=same} .
{again} , {T=same} will be bought by {S=same} for {N=same} , the firms said {D=same} . @3
on {D=same} , {S=same} {again_verb} a deal to acquire {T=same} for {N=same} . @3
{again} , {S=same} said {D=same} it would pay {N=same} for {T=same} . @3
[buy.other]
{S=same} will pay {M=amount} for {R=firm} , the firms said on {L=day} .
{turn} , {T=same} {refused} an offer by {S=same} and {sought} another buyer . @3
{S=same} {refused_to} to comment , {turn} , shares of {T=same} fell on {D=same} . @3
{turn} , {S=same} sold its {unit} for {M=amount} a year earlier . @3

[cut.same]
{N=same} jobs at the plant of {S=same} in {C=same} will go .
{again} , {N=same} workers at the {C=same} plant of {S=same} will lose their jobs . @3
{S=same} {again_verb} it would eliminate {N=same} positions in {C=same} . @3
[cut.other]
{M=count} jobs at the plant of {R=firm} in {K=city} will go .
{turn} , {S=same} {hired} {M=count} workers at a new {unit} in {K=city} . @3
{turn} , the union {refused} a pay offer from {S=same} . @3
the plant of {S=same} in {C=same} makes {unit} parts , {turn} , sales have fallen . @3

[arrest.same]
{N=same} men were held in {C=same} after {X=same} .
{N=same} men were arrested in {C=same} on {D=same} {again_after} {X=same} , police said . @3
{again} , police {again_verb} the arrest of {N=same} men in {C=same} after {X=same} . @3
[arrest.other]
{M=few} men were held in {K=city} after {Z=crime} .
{turn} , police {refused_to} to name the victims of {X=same} in {C=same} . @3
{turn} , a woman was {hurt} in {Z=crime} in {K=city} on {D=same} . @3
the {N=same} men {refused} the charges , {turn} , a trial was {sought} . @3

[shares.same]
stock in {S=same} {V=v_move:d} {N=same} percent on {D=same} .
{again} , {S=same} shares {V=v_move:d} by {N=same} percent {D=same} . @3
on {D=same} , stock in {S=same} {V=v_move:d} {N=same} percent , {again_after} trading . @3
[shares.other]
stock in {S=same} {U=v_move:d} {M=percent} percent on {L=day} .
{turn} , shares of {T=firm} {U=v_move:d} {M=percent} percent on the same day . @3
{turn} , analysts {refused_to} to change their rating of {S=same} . @3
{S=same} {hired} a new finance chief , {turn} , its debt has grown . @3

[court.same]
{S=same} must pay {G=same} {N=same} , a judge in {C=same} ruled .
{again} , {S=same} must pay {N=same} to {G=same} , a court in {C=same} ruled . @3
a {C=same} court {again_verb} that {S=same} has to pay {G=same} {N=same} . @3
[court.other]
{R=firm} must pay {H=group} {M=amount} , a judge in {K=city} ruled .
{turn} , {S=same} {refused_to} to settle with {G=same} and {sought} an appeal . @3
{turn} , a judge in {K=city} {refused} a claim by {G=same} against {T=firm} . @3

[game.same]
the {A=same} won {N=same} against the {B=same} in {C=same} .
{again} , the {B=same} lost {N=same} to the {A=same} in {C=same} . @3
the {A=same} {again_verb} a {N=same} win over the {B=same} on {D=same} . @3
[game.other]
the {E=team} won {M=score} against the {F=team} in {K=city} .
{turn} , the {A=same} {hired} a new coach and {sought} a younger squad . @3
{turn} , the {B=same} {refused_to} to play in {K=city} after {X=crime} . @3
two players of the {B=same} were {hurt} , {turn} , they will miss a month . @3

[storm2.same]
{N=same} people died in a {X=same} near {C=same} .
{again} , {N=same} people died near {C=same} in a {X=same} on {D=same} . @3
a {X=same} near {C=same} {again_verb} {N=same} deaths on {D=same} , officials said . @3
[storm2.other]
{M=few} people died in a {Z=storm} near {K=city} .
{turn} , officials in {C=same} {refused_to} to close schools before the {X=same} . @3
{turn} , a {Z=storm} left thousands in {K=city} without power . @3
dozens were {hurt} in {K=city} , {turn} , roads were open by {D=same} . @3

[study.same]
{X=same} makes {Y=same} less likely , a study in {C=same} showed .
{again} , {X=same} can reduce the risk of {Y=same} , researchers in {C=same} said . @3
a study in {C=same} {again_verb} that the risk of {Y=same} is lower with {X=same} . @3
[study.other]
{Z=habit} makes {J=disease} less likely , a study in {K=city} showed .
{turn} , doctors {refused_to} to advise patients with {Y=same} about {X=same} . @3
{turn} , {Z=habit} was {sought} as a cure for {J=disease} . @3

[law.same]
a law that {V=v_law} {X=same} was signed on {D=same} .
{again} , a law that {V=v_law} {X=same} was signed by the governor on {D=same} . @3
the governor {again_verb} on {D=same} a bill that {V=v_law} {X=same} . @3
[law.other]
a law that {U=v_law} {Z=lawthing} was signed on {L=day} .
{turn} , the senate {refused} a bill about {Z=lawthing} . @3
{turn} , groups {sought} a court order against the law on {X=same} . @3

[quit.same]
{P=same} left {S=same} on {D=same} .
{again} , {P=same} stepped down as chief executive of {S=same} on {D=same} . @3
{S=same} {again_verb} on {D=same} that its chief executive , {P=same} , had resigned . @3
[quit.other]
{Q=name} left {R=firm} on {L=day} .
{turn} , {P=same} {refused} a bonus of {M=amount} from {S=same} . @3
{turn} , {S=same} {hired} {Q=name} , who had run {T=firm} . @3

[profit.same]
quarterly profit {V=v_move:d} to {N=same} at {S=same} .
{again} , quarterly profit at {S=same} {V=v_move:d} to {N=same} . @3
{S=same} {again_verb} a quarterly profit that {V=v_move:d} to {N=same} . @3
[profit.other]
quarterly profit {U=v_move:d} to {M=amount} at {R=firm} .
{turn} , sales at {S=same} {U=v_move:d} and the firm {sought} a loan . @3
{turn} , {S=same} {refused_to} to give a forecast for its {unit} . @3

[meet.same]
the president spoke with {G=same} in {C=same} on {D=same} .
{again} , leaders of {G=same} met the president in {C=same} on {D=same} . @3
the president {again_verb} a meeting with leaders of {G=same} in {C=same} . @3
[meet.other]
the president spoke with {H=group} in {K=city} on {L=day} .
{turn} , leaders of {G=same} {refused_to} to sign a statement in {K=city} . @3
{turn} , the president {sought} support from {H=group} for a new law . @3

<again>
in other words, as announced, in short, that is, as reported, as stated, likewise, in sum,
as expected, in brief, again

<again_verb>
announced, reported, confirmed, declared, said, stated, noted, repeated, described, explained

<again_after>
following, after, in connection with, because of, over, as a result of, in response to

<turn>
however, by contrast, meanwhile, instead, separately, but later, nevertheless, earlier,
on the other hand, despite this, elsewhere

<refused>
refused, rejected, declined, denied, opposed, dropped, delayed, ignored, disputed, blocked

<refused_to>
refused, declined, hesitated, failed, neglected, threatened, was unable, planned

<sought>
sought, wanted, demanded, requested, considered, discussed, needed, awaited

<hired>
hired, trained, promoted, recruited, welcomed, appointed, engaged, invited, praised

<hurt>
hurt, injured, wounded, harmed, rescued, treated, missing, bruised

(v_move)
rises, falls, jumps, drops, climbs, slips, edges, dips

(v_law)
bans, limits, allows, taxes, protects, funds

(firm)
alden steel, barlow foods, corvex, delmont airlines, easton bank, farrow motors, garland media,
hollis energy, inova, jasper drugs, kestrel telecom, lumen software, merrow stores, norvik oil

(city)
brenton, carlow, denby, elmore, fairport, granton, hartfield, kelso, lakeview, milford, newbury,
oakdale, preston, riverton

(day)
monday, tuesday, wednesday, thursday, friday, saturday, sunday

(amount)
$ 20 million, $ 45 million, $ 120 million, $ 300 million, $ 1.2 billion, $ 2.5 billion, $ 4 billion

(count)
150, 200, 340, 500, 800, 1200, 2000

(few)
two, three, four, five, six, seven, nine

(percent)
1.4, 2.5, 3.1, 4.8, 6.2, 7.5, 9

(score)
2 - 0, 3 - 1, 4 - 2, 21 - 14, 6 - 3, 88 - 79

(crime)
a robbery, a shooting, a fire, a bank raid, an explosion, a fight, a break-in

(team)
tigers, hawks, rovers, giants, saints, bears, pirates, kings

(storm)
storm, flood, tornado, landslide, earthquake, hurricane

(habit)
walking, coffee, fish oil, regular sleep, aspirin, green tea, vitamin d

(disease)
cancer, stroke, diabetes, asthma, heart disease, dementia

(lawthing)
smoking in bars, online gambling, gun sales, school lunches, river fishing, diesel cars, spam

(name)
alan pierce, brenda holt, carl mason, diana reyes, edward lang, fiona marsh, george nolan

(group)
the farm union, the teachers, the rebel army, the miners, consumer groups, the opposition,
the steel workers, the islanders

(unit)
paper unit, engine plant, credit arm, travel business, test center, freight line
"""
