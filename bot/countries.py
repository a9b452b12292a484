"""The names of countries, to tell whether a sentence holds one.

As people write them, in English: states and dependent territories (the regions of Unicode's CLDR), their common other
names, those of states that are no more, and adjectives that stand for a country ("a Fijian company").
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
    "Portugal|Pr[ií]ncipe|Puerto Rico|Qatar|Romania|Russia|Rwanda|R[eé]union|Samoa|San Marino|Saudi Arabia|Senegal|"
    "Serbia|Seychelles|Sierra Leone|Singapore|Sint Maarten|Slovakia|Slovenia|Solomon Islands|Somalia|South Africa|"
    "South Korea|South Sudan|Spain|Sri Lanka|"
    "(?:St\\.?|Saint) (?:Barth[eé]lemy|Helena|Kitts|Lucia|Martin|Pierre|Vincent)|Sudan|Suriname|Sweden|Switzerland|"
    "Syria|S[aã]o Tom[eé]|Taiwan|Tajikistan|Tanzania|Thailand|Timor-Leste|Tobago|Togo|Tokelau|Tonga|Trinidad|"
    "Tunisia|Turkmenistan|Turks (?:and|&) Caicos|Tuvalu|T[uü]rkiye|Uganda|Ukraine|United Arab Emirates|"
    "United Kingdom|United States|Uruguay|Uzbekistan|Vanuatu|Vatican|Venezuela|Viet ?[Nn]am|Virgin Islands|Wallis|"
    "Western Sahara|Yemen|Zambia|Zimbabwe|[AÅ]land"
)
_OTHER_NAMES = (
    "Abyssinia|America|Britain|Burma|Cabo Verde|Catalonia|Ceylon|Czech Republic|Czechoslovakia|East Timor|England|"
    "Holland|Ivory Coast|Korea|Macau|Macedonia|Ottoman Empire|Persia|Prussia|Scotland|Siam|Soviet Union|Swaziland|"
    "Turkey|U\\.A\\.E|U\\.K|U\\.S|UAE|UK|US|USA|USSR|Wales|Yugoslavia|Zaire"
)
_ADJECTIVES = (
    "Albanian|Algerian|American|Argentine|Argentinian|Armenian|Australian|Austrian|Bangladeshi|Belgian|Brazilian|"
    "British|Bulgarian|Canadian|Chilean|Chinese|Colombian|Croatian|Cuban|Czech|Danish|Dutch|Egyptian|Emirati|"
    "Estonian|Ethiopian|Fijian|Filipino|Finnish|French|German|Ghanaian|Greek|Hungarian|Icelandic|Indian|Indonesian|"
    "Iranian|Iraqi|Irish|Israeli|Italian|Jamaican|Japanese|Jordanian|Kenyan|Korean|Latvian|Lebanese|Libyan|"
    "Lithuanian|Malaysian|Maltese|Mexican|Moroccan|Nepali|Nigerian|Norwegian|Pakistani|Peruvian|Philippine|Polish|"
    "Portuguese|Romanian|Russian|Rwandan|Saudi|Scottish|Serbian|Singaporean|Slovak|Slovenian|South African|Spanish|"
    "Sri Lankan|Swedish|Swiss|Syrian|Taiwanese|Tanzanian|Thai|Tunisian|Turkish|Ugandan|Ukrainian|Venezuelan|"
    "Vietnamese|Welsh|Zambian|Zimbabwean"
)

#: Finds the name of a country; capitals are part of it, as "us" and "turkey" are words.
COUNTRY = re.compile(rf"\b(?:{_NAMES}|{_OTHER_NAMES}|{_ADJECTIVES})\b")
