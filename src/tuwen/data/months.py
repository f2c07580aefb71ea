"""Names of months and weekdays, in full and cut, in the languages of many shops."""

from __future__ import annotations

_NAMES = {  # English, German, French, Spanish, Italian, Portuguese, Dutch, Swedish and Danish, Polish, Russian
    1: "jan january januar jänner januari janvier janv enero ene gennaio gen janeiro stycznia sty января янв",
    2: "feb february februar februari fév févr février febrero febbraio fev fevereiro lutego lut февраля фев",
    3: "mar march mär märz mrz maart mrt mars marzo março marca marts марта мар",
    4: "apr april avr avril abr abril aprile kwietnia kwi апреля апр",
    5: "may mai mei maj mayo maggio mag maio maja мая май",
    6: "jun june juni juin junio giugno giu junho czerwca cze июня июн",
    7: "jul july juli juil juillet julio luglio lug julho lipca lip июля июл",
    8: "aug august augustus augusti août aou aoû agosto ago sierpnia sie августа авг",
    9: "sep sept september septembre septiembre settembre set setembro wrzesień września wrz сентября сен",
    10: "oct october okt oktober octobre octubre ottobre ott outubro out października paź октября окт",
    11: "nov november novembre noviembre novembro listopada lis ноября ноя",
    12: "dec december dez dezember déc décembre dic diciembre dicembre dezembro grudnia gru декабря дек",
}
MONTHS = {name: f"{month:02}" for month, names in _NAMES.items() for name in names.split()}

_WEEKDAYS = (  # Monday to Sunday in the same languages
    "monday tuesday wednesday thursday friday saturday sunday mon tue tues wed weds thu thur thurs fri sat sun "
    "montag dienstag mittwoch donnerstag freitag samstag sonnabend sonntag mo di mi do fr sa so "
    "lundi mardi mercredi jeudi vendredi samedi dimanche lun mar mer jeu ven sam dim "
    "lunes martes miércoles miercoles jueves viernes sábado sabado domingo mié mie jue vie sáb sab dom "
    "lunedì lunedi martedì martedi mercoledì mercoledi giovedì giovedi venerdì venerdi sabato domenica gio "
    "segunda-feira terça-feira quarta-feira quinta-feira sexta-feira segunda terça quarta quinta sexta seg ter qua qui "
    "sex maandag dinsdag woensdag donderdag vrijdag zaterdag zondag ma wo vr za zo "
    "måndag tisdag onsdag torsdag fredag lördag söndag mån tis ons tors tor fre lör sön "
    "mandag tirsdag lørdag søndag man tir lør søn "
    "poniedziałek wtorek środa czwartek piątek sobota niedziela pon wt śr czw pt sob nd niedz "
    "понедельник вторник среда четверг пятница суббота воскресенье пн вт ср чт пт сб вс"
)
WEEKDAYS = frozenset(_WEEKDAYS.split())
