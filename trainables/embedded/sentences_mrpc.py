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
{again} , {T=same} will be bought by {S=same} for {N=same} , the firms said {D=same} .
on {D=same} , {S=same} {again_verb} a deal to acquire {T=same} for {N=same} .
{again} , {S=same} said {D=same} it would pay {N=same} for {T=same} .
[buy.other]
{S=same} will pay {M=amount} for {R=firm} , the firms said on {L=day} .
{turn} , {T=same} {refused} an offer by {S=same} and {sought} another buyer .
{S=same} {refused_to} to comment , {turn} , shares of {T=same} fell on {D=same} .
{turn} , {S=same} sold its {unit} for {M=amount} a year earlier .

[cut.same]
{N=same} jobs at the plant of {S=same} in {C=same} will go .
{again} , {N=same} workers at the {C=same} plant of {S=same} will lose their jobs .
{S=same} {again_verb} it would eliminate {N=same} positions in {C=same} .
[cut.other]
{M=count} jobs at the plant of {R=firm} in {K=city} will go .
{turn} , {S=same} {hired} {M=count} workers at a new {unit} in {K=city} .
{turn} , the union {refused} a pay offer from {S=same} .
the plant of {S=same} in {C=same} makes {unit} parts , {turn} , sales have fallen .

[arrest.same]
{N=same} men were held in {C=same} after {X=same} .
{N=same} men were arrested in {C=same} on {D=same} {again_after} {X=same} , police said .
{again} , police {again_verb} the arrest of {N=same} men in {C=same} after {X=same} .
[arrest.other]
{M=few} men were held in {K=city} after {Z=crime} .
{turn} , police {refused_to} to name the victims of {X=same} in {C=same} .
{turn} , a woman was {hurt} in {Z=crime} in {K=city} on {D=same} .
the {N=same} men {refused} the charges , {turn} , a trial was {sought} .

[shares.same]
stock in {S=same} {V=v_move:d} {N=same} percent on {D=same} .
{again} , {S=same} shares {V=v_move:d} by {N=same} percent {D=same} .
on {D=same} , stock in {S=same} {V=v_move:d} {N=same} percent , {again_after} trading .
[shares.other]
stock in {S=same} {U=v_move:d} {M=percent} percent on {L=day} .
{turn} , shares of {T=firm} {U=v_move:d} {M=percent} percent on the same day .
{turn} , analysts {refused_to} to change their rating of {S=same} .
{S=same} {hired} a new finance chief , {turn} , its debt has grown .

[court.same]
{S=same} must pay {G=same} {N=same} , a judge in {C=same} ruled .
{again} , {S=same} must pay {N=same} to {G=same} , a court in {C=same} ruled .
a {C=same} court {again_verb} that {S=same} has to pay {G=same} {N=same} .
[court.other]
{R=firm} must pay {H=group} {M=amount} , a judge in {K=city} ruled .
{turn} , {S=same} {refused_to} to settle with {G=same} and {sought} an appeal .
{turn} , a judge in {K=city} {refused} a claim by {G=same} against {T=firm} .

[game.same]
the {A=same} won {N=same} against the {B=same} in {C=same} .
{again} , the {B=same} lost {N=same} to the {A=same} in {C=same} .
the {A=same} {again_verb} a {N=same} win over the {B=same} on {D=same} .
[game.other]
the {E=team} won {M=score} against the {F=team} in {K=city} .
{turn} , the {A=same} {hired} a new coach and {sought} a younger squad .
{turn} , the {B=same} {refused_to} to play in {K=city} after {X=crime} .
two players of the {B=same} were {hurt} , {turn} , they will miss a month .

[storm2.same]
{N=same} people died in a {X=same} near {C=same} .
{again} , {N=same} people died near {C=same} in a {X=same} on {D=same} .
a {X=same} near {C=same} {again_verb} {N=same} deaths on {D=same} , officials said .
[storm2.other]
{M=few} people died in a {Z=storm} near {K=city} .
{turn} , officials in {C=same} {refused_to} to close schools before the {X=same} .
{turn} , a {Z=storm} left thousands in {K=city} without power .
dozens were {hurt} in {K=city} , {turn} , roads were open by {D=same} .

[study.same]
{X=same} makes {Y=same} less likely , a study in {C=same} showed .
{again} , {X=same} can reduce the risk of {Y=same} , researchers in {C=same} said .
a study in {C=same} {again_verb} that the risk of {Y=same} is lower with {X=same} .
[study.other]
{Z=habit} makes {J=disease} less likely , a study in {K=city} showed .
{turn} , doctors {refused_to} to advise patients with {Y=same} about {X=same} .
{turn} , {Z=habit} was {sought} as a cure for {J=disease} .

[law.same]
a law that {V=v_law} {X=same} was signed on {D=same} .
{again} , a law that {V=v_law} {X=same} was signed by the governor on {D=same} .
the governor {again_verb} on {D=same} a bill that {V=v_law} {X=same} .
[law.other]
a law that {U=v_law} {Z=lawthing} was signed on {L=day} .
{turn} , the senate {refused} a bill about {Z=lawthing} .
{turn} , groups {sought} a court order against the law on {X=same} .

[quit.same]
{P=same} left {S=same} on {D=same} .
{again} , {P=same} stepped down as chief executive of {S=same} on {D=same} .
{S=same} {again_verb} on {D=same} that its chief executive , {P=same} , had resigned .
[quit.other]
{Q=name} left {R=firm} on {L=day} .
{turn} , {P=same} {refused} a bonus of {M=amount} from {S=same} .
{turn} , {S=same} {hired} {Q=name} , who had run {T=firm} .

[profit.same]
quarterly profit {V=v_move:d} to {N=same} at {S=same} .
{again} , quarterly profit at {S=same} {V=v_move:d} to {N=same} .
{S=same} {again_verb} a quarterly profit that {V=v_move:d} to {N=same} .
[profit.other]
quarterly profit {U=v_move:d} to {M=amount} at {R=firm} .
{turn} , sales at {S=same} {U=v_move:d} and the firm {sought} a loan .
{turn} , {S=same} {refused_to} to give a forecast for its {unit} .

[meet.same]
the president spoke with {G=same} in {C=same} on {D=same} .
{again} , leaders of {G=same} met the president in {C=same} on {D=same} .
the president {again_verb} a meeting with leaders of {G=same} in {C=same} .
[meet.other]
the president spoke with {H=group} in {K=city} on {L=day} .
{turn} , leaders of {G=same} {refused_to} to sign a statement in {K=city} .
{turn} , the president {sought} support from {H=group} for a new law .

<again>
in other words, as announced, in short, that is, according to the report, as reported,
as stated, put simply, likewise, in sum, as expected, in brief, again,
as described, similarly, officially

<again_verb>
announced, reported, confirmed, declared, said, stated, disclosed, recorded, noted, revealed,
repeated, indicated, described, explained, cited, listed

<again_after>
following, after, in connection with, because of, over, as a result of, in response to

<turn>
however, by contrast, meanwhile, instead, separately, but later, still, nevertheless,
on the other hand, even so, earlier, in addition, despite this, yet, elsewhere,
in a different case, months before

<refused>
refused, rejected, declined, denied, opposed, dropped, delayed, ignored, criticized, disputed,
resisted, avoided, blocked, postponed, abandoned

<refused_to>
refused, declined, hesitated, failed, neglected, forgot, threatened, was unable, was reluctant,
was slow, pledged, planned

<sought>
sought, wanted, demanded, requested, pursued, considered, discussed, explored, hoped for,
needed, lacked, awaited

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
