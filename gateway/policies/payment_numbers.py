"""Payment card numbers (ISO/IEC 7812, Luhn) and bank accounts (ISO 13616, mod 97) in running text."""

import re
from collections.abc import Iterator

# Digits, alone or in groups of two and more that are parted by one space or hyphen.
_DIGITS = re.compile(r"[0-9]{2,}(?:[ \u00a0-][0-9]{2,})*")
_GROUP = re.compile(r"[0-9]+")
_SHORTEST, _LONGEST = 13, 19
# First digits -> lengths that such cards have.
_ISSUERS = (
    (re.compile(r"4"), (19, 16, 13)),
    (re.compile(r"5[1-5]|2(?:22[1-9]|2[3-9]|[3-6]|7[01]|720)"), (16,)),
    (re.compile(r"3[47]"), (15,)),
    (re.compile(r"3(?:0[0-5]|[689])"), (19, 18, 17, 16, 14)),
    (re.compile(r"35(?:2[89]|[3-8])"), (19, 18, 17, 16)),
    (re.compile(r"220[0-4]|8[12]"), (19, 18, 17, 16)),
    (re.compile(r"9792"), (16,)),
    (re.compile(r"6|5[0678]"), (19, 18, 17, 16, 15, 14, 13)),
)


def cards_in(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of each card number. Where several that overlap could be read into a row of groups, it is
    all of them together: what stands beside a card without a word between may be hidden with it."""
    for run in _DIGITS.finditer(text):
        if run.end() - run.start() >= _SHORTEST:
            yield from _cards_in_run(text, run.start(), run.end())


def _cards_in_run(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    groups = [match.span() for match in _GROUP.finditer(text, start, end)]
    # A letter at either side makes it part of something else, and so does the point of a fraction.
    if _glued_before(text, start):
        groups = groups[1:]
    if groups and _glued_behind(text, end):
        groups = groups[:-1]
    digits = "".join(text[a:b] for a, b in groups)
    if len(digits) < _SHORTEST:
        return
    sums = _luhn_sums(digits)
    ends, count = {}, 0  # how many digits there are behind a group -> where it ends in the text
    for a, b in groups:
        count += b - a
        ends[count] = b
    at = begin = end = 0
    for a, b in groups:
        length = _card_length(digits, at, ends, sums) if digits[at] in "2345689" else 0
        if length and a >= end:
            if end:
                yield begin, end
            begin = a
        if length:
            end = max(end, ends[at + length])
        at += b - a
    if end:
        yield begin, end


def _glued_before(text: str, start: int) -> bool:
    before = text[max(0, start - 2) : start]
    return bool(re.search(r"[A-Za-z]\Z|[0-9]\.\Z", before))


def _glued_behind(text: str, end: int) -> bool:
    return bool(re.match(r"[A-Za-z]|\.[0-9]", text[end : end + 2]))


def _card_length(digits: str, at: int, ends: dict[int, int], sums: tuple[list[int], list[int]]) -> int:
    for issuer, lengths in _ISSUERS:
        if issuer.match(digits, at):
            for length in lengths:
                behind = at + length
                even = sums[behind % 2]
                if behind in ends and (even[behind] - even[at]) % 10 == 0:
                    return length
            return 0
    return 0


def _luhn_sums(digits: str) -> tuple[list[int], list[int]]:
    """Running sums in which every other digit is doubled, for numbers that end at an even, and at an odd
    place: whether any part of *digits* passes the check is then one subtraction."""
    even, odd = [0], [0]
    for place, digit in enumerate(map(int, digits)):
        doubled = digit * 2 - 9 if digit > 4 else digit * 2
        # The last digit is not doubled: of a number that ends before an even place it stands at an odd one.
        even.append(even[-1] + (digit if place % 2 else doubled))
        odd.append(odd[-1] + (doubled if place % 2 else digit))
    return even, odd


# ISO 13616's registry: country and length.
_IBAN_LENGTHS = {
    word[:2]: int(word[2:])
    for word in """AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18
    DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30
    KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28
    PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20
    YE30""".split()
}
_IBAN_START = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2}")
_IBAN_RESTS = {  # what follows country and check digits, by the length of the whole
    length: re.compile(rf"(?:[ \u00a0-]?[A-Za-z0-9]){{{length - 4}}}(?![A-Za-z0-9])")
    for length in set(_IBAN_LENGTHS.values())
}


def ibans_in(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of each IBAN, written together or in groups, in upper or lower case."""
    at = 0
    while (start := _IBAN_START.search(text, at)) is not None:
        end = _iban_end(text, start)
        if end:
            yield start.start(), end
        at = end or start.end()


def _iban_end(text: str, start: re.Match) -> int:
    length = _IBAN_LENGTHS.get(start[0][:2].upper(), 0)
    rest = _IBAN_RESTS[length].match(text, start.end()) if length else None
    if rest is None:
        return 0
    turned = re.sub(r"[^A-Za-z0-9]", "", rest[0]) + start[0]
    if turned not in (turned.upper(), turned.lower()):  # words of a sentence
        return 0
    return rest.end() if int("".join(str(int(c, 36)) for c in turned)) % 97 == 1 else 0
