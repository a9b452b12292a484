"""The names of countries, to tell whether a sentence holds one.

As people write them, in English: states and dependent territories (the regions of Unicode's CLDR), their common other
names, those of states that are no more, and adjectives that stand for a country ("a Fijian company"). Languages, and
people who are called Jordan or Chad, are taken for countries too.
"""

from __future__ import annotations

import re

_NAMES = (
    "Afghanistan|Albania|Algeria|American Samoa|Andorra|Angola|Anguilla|Antigua|Argentina|Armenia|Aruba|Australia|"
    "Austria|Azerbaijan|Bahamas|Bahrain|Bangladesh|Barbados|Barbuda|Belarus|Belgium|Belize|Benin|Bermuda|Bhutan|"
    "Bolivia|Bosnia|Botswana|Brazil|British Virgin Islands|Brunei|Bulgaria|Burkina Faso|Burundi|Cambodia|Cameroon|"
    "Canada|Cape Verde|Cayman Islands|Central African Republic|Chad|Chile|China|Colombia|Comoros|Congo|"
    "Cook Islands|Costa Rica|Croatia|Cuba|Cura[cç]ao|Cyprus|Czechia|C[oô]te d['’]Ivoire|Denmark|Djibouti|Dominica|"
    "Dominican Republic|Ecuador|Egypt|El Salvador|Equatorial Guinea|Eritrea|Estonia|Eswatini|Ethiopia|"
    "Falkland Islands|Faroe Islands|Fiji|Finland|France|French Guiana|French Polynesia|Gabon|Gambia|Georgia|"
    "Germany|Ghana|Gibraltar|Greece|Greenland|Grenada|Grenadines|Guadeloupe|Guam|Guatemala|Guernsey|Guinea|"
    "Guinea-Bissau|Guyana|Haiti|Herzegovina|Honduras|Hong Kong|Hungary|Iceland|India|Indonesia|Iran|Iraq|Ireland|"
    "Isle of Man|Israel|Italy|Jamaica|Japan|Jersey|Jordan|Kazakhstan|Kenya|Kiribati|Kosovo|Kuwait|Kyrgyzstan|Laos|"
    "Latvia|Lebanon|Lesotho|Liberia|Libya|Liechtenstein|Lithuania|Luxembourg|Macao|Madagascar|Malawi|Malaysia|"
    "Maldives|Mali|Malta|Marshall Islands|Martinique|Mauritania|Mauritius|Mayotte|Mexico|Micronesia|Moldova|Monaco|"
    "Mongolia|Montenegro|Montserrat|Morocco|Mozambique|Myanmar|Namibia|Nauru|Nepal|Netherlands|Nevis|New Caledonia|"
    "New Zealand|Nicaragua|Niger|Nigeria|Niue|Norfolk Island|North Korea|North Macedonia|Northern Mariana Islands|"
    "Norway|Oman|Pakistan|Palau|Palestine|Panama|Papua New Guinea|Paraguay|Peru|Philippines|Pitcairn|Poland|"
    "Portugal|Pr[ií]ncipe|Puerto Rico|Qatar|Romania|Russia|Rwanda|Réunion|Samoa|San Marino|Saudi Arabia|Senegal|"
    "Serbia|Seychelles|Sierra Leone|Singapore|Sint Maarten|Slovakia|Slovenia|Solomon Islands|Somalia|South Africa|"
    "South Korea|South Sudan|Spain|Sri Lanka|"
    "(?:St\\.?|Saint)[ -](?:Barth[eé]lemy|Helena|Kitts|Lucia|Martin|Pierre|Vincent)|Sudan|Suriname|Sweden|Switzerland|"
    "Syria|S[aã]o Tom[eé]|Taiwan|Tajikistan|Tanzania|Thailand|Timor-Leste|Tobago|Togo|Tokelau|Tonga|Trinidad|"
    "Tunisia|Turkmenistan|Turks (?:and|&) Caicos|Tuvalu|T[uü]rkiye|Uganda|Ukraine|United Arab Emirates|"
    "United Kingdom|United States|Uruguay|Uzbekistan|Vanuatu|Vatican|Venezuela|Viet ?[Nn]am|Virgin Islands|Wallis|"
    "Western Sahara|Yemen|Zambia|Zimbabwe|[AÅ]land"
)
_OTHER_NAMES = (
    "Abyssinia|America|Britain|Burma|Cabo Verde|Catalonia|Ceylon|Czech Republic|Czechoslovakia|East Timor|England|"
    "Holland|Holy See|Ivory Coast|Korea|Kyrgyz Republic|Lao|Macau|Macedonia|Ottoman Empire|Persia|Prussia|Rhodesia|"
    "Scotland|Siam|Soviet Union|Swaziland|Turkey|(?<!Prince of )Wales|Yugoslavia|Zaire"
)
_LETTERS = "DRC|U\\.A\\.E|U\\.K|U\\.S|UAE|UK|US|USA|USSR"
_ADJECTIVES = (
    "Afghan|Albanian|Algerian|American|Angolan|Argentine|Argentinian|Armenian|Australian|Austrian|Azerbaijani|Bahraini|"
    "Bangladeshi|Belarusian|Belgian|Bolivian|Bosnian|Brazilian|British|Bulgarian|Burmese|Cambodian|Cameroonian|Canadian|"
    "Chilean|Chinese|Colombian|Congolese|Croatian|Cuban|Cypriot|Czech|Danish|Dutch|Ecuadorian|Egyptian|Emirati|Eritrean|"
    "Estonian|Ethiopian|Fijian|Filipino|Finnish|French|Gambian|Georgian|German|Ghanaian|Greek|Guatemalan|Haitian|"
    "Honduran|Hungarian|Icelandic|Indian|Indonesian|Iranian|Iraqi|Irish|Israeli|Italian|Ivorian|Jamaican|Japanese|"
    "Jordanian|Kazakh|Kenyan|Korean|Kosovar|Kuwaiti|Kyrgyz|Laotian|Latvian|Lebanese|Liberian|Libyan|Lithuanian|"
    "Macedonian|Malagasy|Malawian|Malaysian|Maldivian|Malian|Maltese|Mauritian|Mexican|Moldovan|Mongolian|Montenegrin|"
    "Moroccan|Mozambican|Namibian|Nepalese|Nepali|Nicaraguan|Nigerian|Norwegian|Omani|Pakistani|Palestinian|Panamanian|"
    "Paraguayan|Peruvian|Philippine|Polish|Portuguese|Qatari|Romanian|Russian|Rwandan|Salvadoran|Samoan|Saudi|Scottish|"
    "Senegalese|Serbian|Singaporean|Slovak|Slovene|Slovenian|Somali|South African|Spanish|Sri Lankan|Sudanese|Swedish|"
    "Swiss|Syrian|Taiwanese|Tajik|Tanzanian|Thai|Togolese|Tongan|Tunisian|Turkish|Turkmen|Ugandan|Ukrainian|Uruguayan|"
    "Uzbek|Venezuelan|Vietnamese|Welsh|Yemeni|Zambian|Zimbabwean"
)

_WORDS = f"{_NAMES}|{_OTHER_NAMES}|(?:{_ADJECTIVES})s?"

#: What stands before or after a name that is then part of another: Latin America, New Mexico, the Indian Ocean.
_BEFORE = ("New", "North", "South", "Central", "Latin", "Ben")
_NOT_AFTER = "".join(f"(?<!{word} )(?<!{word.upper()} )" for word in _BEFORE)
_NOT_BEFORE = "(?! (?:Columbia|COLUMBIA|Ocean|OCEAN))"

#: Finds the name of a country. Capitals are part of it, as "us" and "turkey" are words; a heading may be all capitals.
COUNTRY = re.compile(rf"\b(?=[A-ZÅ]){_NOT_AFTER}(?:{_WORDS}|{_WORDS.upper()}|{_LETTERS})\b{_NOT_BEFORE}")

#: Is the adjective of a country: "Kenyan" is not the name of one.
COUNTRY_ADJECTIVE = re.compile(rf"(?:{_ADJECTIVES})s?")
