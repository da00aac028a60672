"""Everyday English sentences, drawn from frames: what people say to each other, of 1 to 30 words.

Every sentence is made of parts that are exchanged freely, so there are millions; whoever wants some
kept for judging draws them first and leaves those out afterwards.
"""

from __future__ import annotations

import random
import re

_PARTS: dict[str, str] = {
    "short": """Yes.|No.|Thank you.|Thanks a lot.|Good morning.|Good night.|Of course.|Not at all.|
        Never mind.|Excuse me.|I see.|Right away.|You're welcome.|See you tomorrow.|Take care.|
        Maybe later.|Not yet.|No problem.|Are you sure?|What time is it?|Who is there?|How are you?|
        Where are you?|What happened?|Come in, please.|Wait a moment.|Have a seat.|Well done!|
        Happy birthday!|That's fine.|Let's go.|I don't know.|I think so.|Sounds good.|Hurry up!|
        Congratulations!|It's all right.|Be careful.|Why not?|That's enough.|Good luck!""",
    "who": """my brother|my sister|my mother|my father|the doctor|the teacher|our neighbor|
        an old friend|the driver|the woman next door|his uncle|her daughter|the children|
        everyone at work|the manager|somebody from the office|our guests|my grandmother|the nurse|
        the man at the counter|your cousin|{name}|{name}|{name}|{name}""",
    "name": """Anna|Peter|Maria|John|Sarah|Michael|Laura|David|Emma|Thomas|Julia|Robert|Alice|
        Daniel|
        Sophie|George|Helen|James|Ruth|Samuel|Olivia|Henry|Grace|Walter|Nina|Oliver|Rachel|Simon|
        Claire|Frank|Mister Brown|Missus Green|Doctor Miller|Charlotte|Benjamin|Victoria""",
    "place": """the kitchen|the garden|the station|the market|the library|the office|the airport|
        the bakery|the museum|the hospital|the park|the beach|the village|the corner shop|school|
        the post office|the train|the hotel|the bus stop|the theater|the river|the old bridge|
        my house|the bank|the restaurant|the city center|the pharmacy|the church""",
    "town": """London|Boston|Paris|Chicago|Berlin|Rome|Dublin|Madrid|Vienna|New York|Oxford|Lisbon|
        Sydney|Toronto|Denver|Tokyo|Seattle|Athens|Geneva|Glasgow""",
    "thing": """the keys|the blue book|a cup of tea|the newspaper|a loaf of bread|the letter|
        my umbrella|the tickets|your phone|an apple|the window|some fresh flowers|the red jacket|
        a box of matches|the shopping bag|a new lamp|the old chair|her glasses|the map|two eggs|
        the green suitcase|a bottle of water|the broken clock|his camera|the photographs|the radio|
        a warm blanket|some orange juice|the garden gate|the front door|a piece of cheese|
        a bicycle""",
    "food": """soup|bread and butter|rice with vegetables|a cheese sandwich|pancakes|fish|noodles|
        chocolate cake|fried eggs|fresh strawberries|potatoes|a green salad|roast chicken|pizza|
        apple pie|vanilla ice cream|tomatoes|mushrooms|porridge""",
    "did": """found|bought|forgot|lost|wanted|brought|left|carried|borrowed|asked for|looked for|
        picked up|dropped|noticed|moved|fixed|sold|paid for""",
    "do": """find|buy|bring|take|carry|look for|pick up|move|fix|open|borrow|use|keep|return|
        show me""",
    "went": """walked to|drove to|came back from|waited at|went straight to|met us at|ran to|
        stayed near|worked at|hurried to|sat in|left""",
    "when": """this morning|last night|on Monday|on Friday evening|two days ago|before lunch|
        after dinner|at noon|in the afternoon|yesterday|last weekend|an hour ago|in the summer|
        at half past seven|around {hour} o'clock|at {hour} {minutes}|on the {nth} of {month}|
        last Thursday|on Tuesday|a long time ago|late on Sunday""",
    "soon": """tomorrow|tonight|next week|on Saturday|in a few minutes|after work|at {hour} o'clock|
        next Wednesday|before it rains|this evening|as soon as possible|in {number} minutes|
        on the {nth} of {month}|by the end of the month|when you are ready|at {hour} {minutes}""",
    "hour": "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve",
    "minutes": "fifteen|thirty|forty five|ten|twenty|oh five|fifty",
    "number": """two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|
        fifteen|sixteen|seventeen|eighteen|nineteen|twenty|twenty five|thirty|thirty six|forty|
        fifty|sixty four|seventy|eighty one|ninety nine|a hundred|two hundred and fifty|
        a thousand""",
    "nth": """first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth|
        fifteenth|twentieth|twenty first|thirtieth""",
    "month": """January|February|March|April|May|June|July|August|September|October|November|
        December""",
    "how": """very|rather|quite|really|surprisingly|a little|much too|almost|not very|so""",
    "like": """tired|happy|quiet|cold|warm|expensive|beautiful|difficult|easy|strange|busy|friendly|
        dark|late|early|hungry|nervous|careful|heavy|small|bright|dangerous|useful|famous|
        cheerful""",
    "weather": """rain|snow|wind|sunshine|fog|thunder|clouds|frost""",
    "color": "red|blue|green|yellow|white|black|brown|gray|orange|purple",
    "because": """because the weather was {like}|because it was getting {like}|
        since nobody else was there|
        because {who} had asked for it|although it was {how} {like}|while {who} {did} {thing}|
        so that {who} could rest|even though {who} was {how} {like}|until the {weather} came""",
    "that": """that {who} {did} {thing}|that {who} {went} {place}|
        that the {weather} will come {soon}|
        that {thing} is {how} {like}|that we should leave {soon}|that {who} was {like}""",
    "plain": """{who} {did} {thing} {when}|{who} {went} {place} {when}|
        {who} was {how} {like} {when}|
        we {did} {thing} near {place}|they had {food} at {place} {when}|
        {who} {did} {thing} and {went} {place}|I {did} {thing} {because}|
        {who} {went} {place} {because}|I {went} {place} with {name} {when}|
        we had {food} and {food} for dinner {when}|there were {number} people at {place} {when}|
        it costs {number} dollars at {place}|the {color} one is {how} {like}|
        {who} told me {that}|I believe {that}|everybody knows {that}|
        {thing} and {thing} were lying in {place}|the train from {town} to {town} leaves {soon}|
        my favorite color is {color}, not {color}|page {number} is missing|
        {who} lives at number {number}, near {place}|I would like {food} and {thing}, please|
        {who} turned {number} {when}|you will need {thing}, {thing}, and {thing}|
        there is {weather} and {weather} in {town} {soon}|I will {do} {thing} {soon}|
        you should {do} {thing} {soon}|we can {do} {thing} at {place}|
        if you {do} {thing}, I will {do} {thing}|it was {how} {like}, but {who} {went} {place}""",
    "question": """did you {do} {thing} {when}|where did {who} {do} {thing}|
        could you {do} {thing} {soon}|why was {who} so {like} {when}|is {place} {how} {like}|
        have you seen {thing}|how many people came to {place} {when}|
        would you like {food} or {food}|
        when does the train to {town} leave|can we {do} {thing} {soon}|
        do you think {that}|what did {who} say about {thing}|who {did} {thing} {when}|
        shall we meet at {place} {soon}|does {name} know {that}|is it far from {town} to {town}""",
    "order": """please {do} {thing} {soon}|{do} {thing}, and then come to {place}|
        don't forget to {do} {thing}|tell {name} to {do} {thing}|call me {soon}|
        let me {do} {thing}|turn left at {place}, then go straight on to {place}|
        please meet {who} at {place} {soon}""",
}  # fmt: skip
_CHOICES = {
    name: [re.sub(r"\s+", " ", choice).strip() for choice in text.split("|")]
    for name, text in _PARTS.items()
}
_SLOT = re.compile(r"\{(\w+)\}")
# How many of a hundred sentences are of each kind.
_SHARES = {"short": 6, "plain": 52, "question": 22, "order": 13, "said": 7}
TWO = 0.12  # share of the drawings that are two sentences
MOST = 30  # words


def sentence(rng: random.Random) -> str:
    """One sentence, or two in a row."""
    while True:
        drawn = _one(rng)
        if rng.random() < TWO:
            drawn = f"{drawn} {_one(rng)}"
        if len(drawn.split()) <= MOST:
            return drawn


def _one(rng: random.Random) -> str:
    kind = rng.choices(list(_SHARES), list(_SHARES.values()))[0]
    if kind == "short":
        return rng.choice(_CHOICES["short"])
    if kind == "said":
        return _finish(f"{_filled('plain', rng)}, said {_filled('who', rng)}", ".")
    return _finish(_filled(kind, rng), "?" if kind == "question" else ".")


def _filled(part: str, rng: random.Random) -> str:
    """A part with all its slots filled."""
    text = rng.choice(_CHOICES[part])
    while found := _SLOT.search(text):
        text = text[: found.start()] + _filled(found[1], rng) + text[found.end() :]
    return text


def _finish(text: str, mark: str) -> str:
    return text[0].upper() + text[1:] + mark
