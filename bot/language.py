"""Which language a question is in, as far as that matters: whether the embedding model understands it.

A script tells, or the small words that every question is made of; names, which are the same everywhere, do not. After
Grefenstette, "Comparing two language identification schemes" (JADT 1995). Short questions in languages that share most
of their small words (Danish, Norwegian) may be taken for one another; what matters is that none is taken for English.
"""

from __future__ import annotations

import re

from bot.folding import fold

ENGLISH = "en"

#: Names of languages by their code (BCP 47).
NAMES = {
    "ar": "Arabic", "bn": "Bengali", "cs": "Czech", "da": "Danish", "de": "German", "el": "Greek", "en": "English",
    "es": "Spanish", "fi": "Finnish", "fr": "French", "he": "Hebrew", "hi": "Hindi", "hu": "Hungarian",
    "id": "Indonesian", "it": "Italian", "ja": "Japanese", "ko": "Korean", "nl": "Dutch", "no": "Norwegian",
    "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "sv": "Swedish", "ta": "Tamil", "th": "Thai",
    "tr": "Turkish", "uk": "Ukrainian", "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip

#: Letters of one script each, and the language that is meant if it is only one; the first that fits tells.
_SCRIPTS: tuple[tuple[str, str], ...] = (
    ("[\u3040-\u30ff]", "ja"), ("[\uac00-\ud7af\u1100-\u11ff]", "ko"), ("[\u4e00-\u9fff\u3400-\u4dbf]", "zh"),
    ("[іїєґІЇЄҐ]", "uk"), ("[\u0400-\u04ff]", "ru"), ("[\u0370-\u03ff]", "el"), ("[\u0600-\u06ff]", "ar"),
    ("[\u0590-\u05ff]", "he"), ("[\u0900-\u097f]", "hi"), ("[\u0980-\u09ff]", "bn"), ("[\u0b80-\u0bff]", "ta"),
    ("[\u0e00-\u0e7f]", "th"),
)  # fmt: skip

#: The small words of questions, folded: case and accents aside.
_SMALL_WORDS = {
    code: frozenset(words.split())
    for code, words in {
        "en": "about all am an and any are as at be been between but by can could did do does for from give had has "
        "have how in into is it its may me more most my of on or our please should tell than that the their "
        "them there these they this to us was we were what when where which who whom whose why will with "
        "would you your",
        "de": "aber als am an auf aus bei bin bitte das dem den der des die diese durch ein eine einem einen einer "
        "es fur gehort gibt haben hat ich ihr im in ist ja kann konnen man mich mir mit nach nicht noch oder "
        "sich sie sind teil uber um und uns viele vom von wann war warum was welche welcher welches wem wen "
        "wer werden wie wieviele wir wird wo wurde zu zum zur",
        "fr": "au aux avec ce ces cette combien comment dans de depuis des du elle elles en est et etes etre faire "
        "font il ils je la le lequel les leur mais moi mon ne nous ont ou par pas plus pour pourquoi puis "
        "quand que quel quelle quelles quels qui quoi sa sont sur un une vous",
        "es": "al como con cual cuales cuando cuanta cuantas cuanto cuantos de del desde donde el ella en es esta "
        "estan este fue ha hace hay la las lo los mas me mi no para pero por porque puede puedo que quien "
        "quienes se ser si sin sobre son su sus tiene tienen un una yo",
        "pt": "ao aos as com como da das de do dos ela ele em esta estao eu foi ha isso mais mas me na nao nas no "
        "nos onde os ou para pela pelo pode por porque posso quais qual quando quanta quantas quanto quantos "
        "que quem sao se sem ser seu sobre sua tem um uma voce",
        "it": "al alla anche che chi ci come con cosa cui da dal dalla degli dei del della delle di dove fa gli ha "
        "hanno il in io la le lo ma mi ne nel nella non per perche piu posso puo qual quale quali quando "
        "quanta quante quanti quanto questa questo sono su sul tra un una uno",
        "nl": "aan als bij dat de deze die dit door een en er ga geen had heb hebben heeft het hoe hoeveel ik in is "
        "kan maar me met mijn naar niet of om ook op te tot uit van veel voor waar waarom wanneer was wat we "
        "welke werd wie wij worden zijn zo",
        "sv": "alla an ar att av de den det du eller en ett finns for fran genom ha han har hon hur ingar inte jag "
        "kan man manga med mig min mycket nar och om pa sin som till under vad var varfor vem vi vilka vilken "
        "vilket",
        "da": "af alle at blev de den der det du eller en er et findes for fra gor han har hun hvad hvem hvilke "
        "hvilken hvor hvordan hvorfor hvornar ikke jeg kan man mange med mig og om pa sig som til var vi",
        "no": "alle av ble de den der det du eller en er et finnes for fra gjor han har hun hva hvem hvilke hvilken "
        "hvor hvordan hvorfor ikke jeg kan man mange med meg nar og om pa seg som til var vi",
        "fi": "ei etta ja joka jos ketka kuinka kuka kun kuuluu mika miksi mikä milloin mina minka missa mista "
        "mita miten moni monta mutta niin oli olla on onko ovat se sita tai tama voi voiko voin",
        "pl": "aby ale byl byla bylo co czy dla do gdzie ich ile jak jaka jaki jakie jest kiedy kogo kto ktora "
        "ktore ktory ktorzy ma maja mnie moge na nie od po przez sa sie ten to za ze",
        "cs": "ale co do jak jaka jake jaky je jeho jsem jsou kde kdo kdy ke kolik ktera ktere ktery ma maji mohu "
        "na nebo od po pro proc se si to ve za ze",
        "ro": "ai al ale am are ca cand care cat cate cati ce cine cu cum da de din este fi fost in la mai nu pe "
        "pentru prin sa sau se si sunt un una unde",
        "hu": "az de egy es ez fel hany hogy hogyan hol kell ki kik lehet meg mely melyik mennyi mert mi mikor "
        "milyen mit nem tagja vagy van vannak volt",
        "tr": "ama bir bu cok da de en hangi icin ile kac kim kimler mi mu nasil ne neden nedir nerede var ve veya ya",
        "id": "ada adalah anggota apa apakah atau bagaimana berapa bisa dalam dan dari dengan di dimana ini itu "
        "kapan ke kenapa mana mengapa oleh pada saya siapa untuk yang",
        "vi": "ai ban bao cac cho co cua duoc gi khi khong la lam mot nao nhieu nhung sao tai the thi toi trong tu "
        "va vao voi",
    }.items()
}

#: Small words that are no word, name or short form in English, and tell alone.
_UNMISTAKABLE = frozenset(
    "cand combien cuando cuantos hoeveel hogyan hvordan hvorfor kapan kdy kiedy kuinka mikor milloin nasil nerede "
    "perche pourquoi quando quantos varfor waarom wanneer wann warum".split()
)

#: Each small word, and the languages that have it.
_LANGUAGES_OF = {
    word: tuple(code for code, small in _SMALL_WORDS.items() if word in small)
    for word in set().union(*_SMALL_WORDS.values())
}

#: Letters of a script that are more than a name's; of how few words a single small one is enough to tell, in what
#: ends with a question mark ("hay fever" is no Spanish).
_LETTERS, _FEW = 2, 4


def language_of(text: str) -> str | None:
    """Return the code of the language that a text seems to be in; ``None`` if its words do not tell."""
    written = re.findall(r"[^\W\d_]+", text)
    shouted = all(word.isupper() for word in written)
    words = [fold(word) for word in written if shouted or not word.isupper()]  # "AI" is no small word of Vietnamese
    found = dict.fromkeys(_SMALL_WORDS, 0)
    for word in words:
        for code in _LANGUAGES_OF.get(word, ()):
            found[code] += 1
    for script, code in () if text.isascii() else _SCRIPTS:
        if len(re.findall(script, text)) >= _LETTERS and not found["en"]:
            return code
    best = max(found, key=lambda code: (found[code], code == "en"))
    alone = text.rstrip().endswith("?") or not _UNMISTAKABLE.isdisjoint(words)
    tells = found[best] > 1 or (found[best] * _FEW >= len(words) and alone)
    return best if found[best] and (best == "en" or (tells and found[best] > found["en"])) else None
