"""Which language a question is in: what the encoder does not know is noticed, and English is never taken for it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.language import ENGLISH, NAMES, language_of

QUESTIONS = {
    "de": [
        "Wie schnell darf ein Boot im Hafen fahren?", "Wann öffnet das Büro?", "Wer ist für die Sicherheit zuständig?",
        "Welche Länder sind Mitglied?", "was kostet eine Fahrkarte", "Gibt es am Sonntag eine Fähre?",
    ],
    "fr": [
        "Quels pays sont membres de l’alliance ?", "Où se trouve le siège ?", "Combien coûte un billet aller-retour ?",
        "Qui dirige le groupe de travail ?", "quand part le dernier ferry", "Comment puis-je signaler un contenu ?",
    ],
    "es": [
        "¿Qué países son miembros de la alianza?", "¿Dónde está la oficina?", "¿Cuánto cuesta un billete?",
        "¿Quién preside el grupo?", "cuando sale el ultimo ferry", "¿Cómo puedo denunciar un contenido?",
    ],
    "pt": [
        "Quais países são membros da aliança?", "Onde fica o escritório?", "Quanto custa um bilhete?",
        "Quem preside o grupo?", "Como posso denunciar um conteúdo?",
    ],
    "it": [
        "Quali paesi sono membri dell’alleanza?", "Quanto costa un biglietto?",
        "Chi presiede il gruppo?", "Come posso segnalare un contenuto?",
    ],
    "nl": [
        "Welke landen zijn lid van de alliantie?", "Waar is het kantoor?", "Hoeveel kost een kaartje?",
        "Wie is de voorzitter van de groep?", "wanneer vertrekt de laatste boot", "Hoe kan ik iets melden?",
    ],
    "sv": [
        "Vilka länder är medlemmar i alliansen?", "Var ligger kontoret?", "Hur mycket kostar en biljett?",
        "Vem leder gruppen?", "Hur snabbt får man köra i hamnen?", "Vad är syftet med nätverket?",
    ],
    "fi": [
        "Mitkä maat ovat jäseniä?", "Missä toimisto on?", "Kuinka paljon lippu maksaa?",
        "Kuka johtaa ryhmää?", "Mikä on verkoston tarkoitus?",
    ],
    "pl": [
        "Jakie kraje są członkami sojuszu?", "Gdzie jest biuro?", "Ile kosztuje bilet?",
        "Kto kieruje grupą?", "kiedy odpływa ostatni prom", "Jak mogę zgłosić treść?",
    ],
    "cs": [
        "Které země jsou členy aliance?", "Kde je kancelář?", "Kolik stojí jízdenka?",
        "Kdo vede skupinu?", "kdy odjíždí poslední trajekt", "Jak se mohu přihlásit?",
    ],
    "ro": [
        "Care țări sunt membre ale alianței?", "Unde este biroul?", "Cât costă un bilet?",
        "Cine conduce grupul?", "când pleacă ultimul feribot", "Cum pot să raportez?",
    ],
    "hu": [
        "Hol van az iroda?", "Mennyi egy jegy ára?",
        "Ki vezeti a csoportot?", "mikor indul az utolsó komp", "Hogyan lehet bejelenteni?",
    ],
    "tr": [
        "Hangi ülkeler ittifakın üyesi?", "Ofis nerede?", "Bir bilet ne kadar?",
        "Grubu kim yönetiyor?", 
    ],
    "id": [
        "Negara mana yang menjadi anggota?", "Di mana kantornya?", "Berapa harga tiket?",
        "Siapa yang memimpin kelompok ini?", "kapan feri terakhir berangkat", "Bagaimana cara melapor?",
    ],
    "vi": [
        "Những nước nào là thành viên?", "Giá vé là bao nhiêu?",
        "Ai là chủ tịch của nhóm?", "khi nào chuyến phà cuối cùng khởi hành", "Làm thế nào để báo cáo?",
    ],
    "ru": ["Какие страны входят в альянс?", "Где находится офис?", "сколько стоит билет"],
    "uk": ["Які країни є членами альянсу?", "Які країни входять?", "Скільки коштує квиток і коли відходить пором?"],
    "el": ["Ποιες χώρες είναι μέλη;", "Πού βρίσκεται το γραφείο;", "πόσο κοστίζει το εισιτήριο"],
    "ar": ["ما هي الدول الأعضاء؟", "أين يقع المكتب؟", "كم سعر التذكرة"],
    "he": ["אילו מדינות חברות?", "איפה המשרד?", "כמה עולה כרטיס"],
    "hi": ["कौन से देश सदस्य हैं?", "कार्यालय कहाँ है?", "टिकट कितने का है"],
    "bn": ["কোন দেশগুলি সদস্য?", "অফিস কোথায়?", "টিকিটের দাম কত"],
    "ta": ["எந்த நாடுகள் உறுப்பினர்கள்?", "அலுவலகம் எங்கே?", "டிக்கெட் விலை என்ன"],
    "th": ["ประเทศใดเป็นสมาชิก", "สำนักงานอยู่ที่ไหน", "ตั๋วราคาเท่าไหร่"],
    "zh": ["哪些国家是成员?", "办公室在哪里?", "一张票多少钱"],
    "ja": ["どの国が加盟していますか?", "事務所はどこですか?", "切符はいくらですか"],
    "ko": ["어떤 나라가 회원국인가요?", "사무실은 어디에 있나요?", "표는 얼마예요"],
}  # fmt: skip

#: Close enough that one may be taken for another.
SCANDINAVIAN = {
    "da": ["Hvilke lande er medlemmer?", "Hvor ligger kontoret?", "Hvad koster en billet?"],
    "no": ["Hvilke land er medlemmer?", "Hvor ligger kontoret?", "Hva koster en billett?"],
}

#: Too little in them tells which language it is; that it is not English, still does.
HARD_QUESTIONS = [
    "quando sai a última balsa", "Dove si trova la sede?", "quando parte l’ultimo traghetto",
    "Milloin viimeinen lautta lähtee?", "Mely országok tagjai a szövetségnek?", "son feribot ne zaman kalkıyor",
    "İçerik nasıl bildirilir?", "Văn phòng ở đâu?", "Де знаходиться офіс?",
]  # fmt: skip

ENGLISH_QUESTIONS = [
    "How fast may a boat go in the harbour?",
    "who chairs the taskforce",
    "Is Côte d'Ivoire a member?",
    "Is Chile a member of the alliance?",
    "when was Die Hard released",
    "Who won La Liga in 2019?",
    "When did Los Angeles join?",
    "What does the Des Moines office do?",
    "Where is the Rio de Janeiro declaration?",
    "Is São Tomé and Príncipe a member?",
    "Who was Simone de Beauvoir?",
    "What did Ursula von der Leyen say?",
    "where is Den Haag",
    "Does El Salvador have a regulator?",
    "What is the role of Médecins Sans Frontières?",
    "Who is Ban Ki-moon?",
    "When was Le Monde founded?",
    "Is Der Spiegel a member?",
    "what does pro bono mean",
    "How many UN member states are there?",
    "What is the EU AI Act?",
    "does the UN take part",
    "Who pays for MI5?",
    "What is a de facto standard?",
    "How do I report a con artist?",
    "What is the MIT licence?",
    "are war crimes included",
    "how many men joined",
    "Can I hire a van?",
    "What are the SI units?",
    "is there hay fever in May",
    "does it cost more per head",
    "Where can I sail?",
    "contact",
    "members",
    "opening hours",
    "moorings",
    "ferry timetable winter",
    "hotline number Australia",
    "membership fee",
    "annual report 2023",
    "phone number",
    "child safety regulators list",
    "Türkiye",
    "Côte d'Ivoire",
    "Curaçao",
    "Réunion island ferry",
    "naïve café résumé",
    "Ελλάδα and Greece: which name do they use?",
    "What does the Russian word мир mean?",
    "What is 東京 called in English?",
    "π",
    "µ value of seawater",
    "Ω resistance limit",
    "2024",
    "112",
    "GIFCT",
    "INHOPE hotlines",
    "e-mail address",
    "puffins?",
    "thank you",
    "Tell me about Pas-de-Calais.",
]

#: English that holds one small word of another language, and none of English's own.
TERSE_QUESTIONS = [
    "UN member states",
    "UN resolution 1325",
    "EU law",
    "EU members",
    "AI safety",
    "AI regulation",
    "CO2 levels",
    "PO box",
    "LA office",
    "SE Asia",
    "MIT campus",
    "ID card",
    "under 18s",
    "co-operation agreements",
    "war crimes",
    "bin collection days",
    "top ten members",
    "cost per head",
    "van hire",
    "no parking",
    "man overboard",
    "comment period",
    "font size",
    "hay fever",
    "per capita income",
    "El Salvador",
    "Los Angeles office",
    "Des Moines population",
    "Rio de Janeiro",
    "São Tomé",
]


def test_every_question_is_recognised() -> None:
    assert all(len(questions) >= 3 for questions in QUESTIONS.values())
    asked = {question: code for code, questions in QUESTIONS.items() for question in questions}
    found = {question: language_of(question) for question in asked}
    assert found == asked


@pytest.mark.parametrize("question", HARD_QUESTIONS)
def test_no_foreign_question_is_taken_for_english(question: str) -> None:
    assert language_of(question) != ENGLISH


def test_scandinavian_questions_may_be_taken_for_one_another() -> None:
    found = {code: {language_of(question) for question in questions} for code, questions in SCANDINAVIAN.items()}
    assert all(code in found[code] and found[code] <= {*SCANDINAVIAN, "sv"} for code in SCANDINAVIAN)


@pytest.mark.parametrize("question", ENGLISH_QUESTIONS)
def test_english_is_not_taken_for_another_language(question: str) -> None:
    assert language_of(question) in (ENGLISH, None)


@pytest.mark.parametrize("question", TERSE_QUESTIONS)
def test_english_without_small_words_is_not_taken_for_another_language(question: str) -> None:
    assert language_of(question) in (ENGLISH, None)


def test_english_questions_are_english_in_any_case() -> None:
    for question in ("Where is the ferry?", "What does it cost?", "Who may join?"):
        assert language_of(question) == language_of(question.upper()) == language_of(question.lower()) == ENGLISH


def test_foreign_questions_are_told_without_accents_and_in_any_case() -> None:
    for question, code in (
        ("WO IST DER HAFEN?", "de"),
        ("Dónde está", "es"),
        ("Donde esta", "es"),
        ("OÙ EST-CE", "fr"),
    ):
        assert language_of(question) == code


@pytest.mark.parametrize("text", ["", " ", "?", "12:30", "xyzzy", "GIFCT 2024", "🚢", "_", "Ida Brandt"])
def test_what_has_no_small_word_is_in_no_language(text: str) -> None:
    assert language_of(text) is None


def test_the_names_of_all_languages_that_are_told_are_known() -> None:
    assert {*QUESTIONS, *SCANDINAVIAN, ENGLISH} == set(NAMES)
    assert len(set(NAMES.values())) == len(NAMES)


@settings(deadline=None)
@given(st.text(max_size=80))
def test_any_text_is_in_a_language_with_a_name_or_in_none(text: str) -> None:
    assert language_of(text) in (None, *NAMES)


@pytest.mark.parametrize("unit", ["a", "die ", "-", "1", "я", "か", "é", "\u0301", "a’", " ", "a1_"])
def test_long_texts_take_no_longer_than_they_are_long(unit: str) -> None:
    started = time.process_time()
    language_of(unit * (200_000 // len(unit)))
    assert time.process_time() - started < 2
