"""Tokenization: offsets on any text, linear time, agreement with Flair and a corpus."""

from __future__ import annotations

import itertools
import json
import time
import unicodedata
from pathlib import Path

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from flairnb.tokenization import (
    _TOKEN,
    BLANK,
    SegtokTokenizer,
    SpaceTokenizer,
    Tokenizer,
    TokenizerWrapper,
    WordTokenizer,
    align,
    split_word,
    tokenizer_from,
    tokenizer_from_dict,
    word_spans,
)

CORPORA = Path(__file__).parents[2] / "shared" / "corpora"
INKLESS = regex.compile(rf"[{BLANK}]*")
WORDS = WordTokenizer()

PIECES = [
    *"aZé9²ʼ’'.,:;!?-_/\\@#&%$()[]{}<>\"“”«»…~^*+=|日あアー한ก👍❤©\u0301\u0308\u00ad",
    *"\u200b\u200c\u200d\u200e\ufeff\ufe0f\u2060\u3164\u0600\x00\x1c\x85\t\n\r \u00a0",
    *"\u2028\u3000\u00b4\u20e3\U0001f1e9\U0001f1ea\U0001f3fd\U000e0067\U000e007f",
    *["n't", "'s", "...", "://", "http://", "www.", "a@b.cd", ":-)", "U.S.", "Mr. "],
    *["1,000", "10:30", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "e.g.", ". A"],
]
texts = st.one_of(st.text(), st.lists(st.sampled_from(PIECES)).map("".join))
quick = settings(max_examples=800, deadline=None, derandomize=True)


@quick
@given(texts)
def test_spans_tell_where_the_words_stand(text):
    spans = WORDS.spans(text)
    assert [text[start:end] for start, end in spans] == WORDS.tokenize(text)
    position = 0
    for start, end in spans:
        assert position <= start < end <= len(text)
        assert INKLESS.fullmatch(text, position, start), "a character with ink is lost"
        assert not INKLESS.fullmatch(text, start, end), "a word without ink"
        assert not any(character.isspace() for character in text[start:end])
        position = end
    assert INKLESS.fullmatch(text, position)


@quick
@given(texts)
def test_general_alignment_finds_the_same_spans_or_earlier_ones(text):
    class Plain(WordTokenizer):
        def tokenize(self, text):
            return super().tokenize(text)

    aligned = Plain().spans(text)
    assert [text[s:e] for s, e in aligned] == WORDS.tokenize(text)
    assert all(
        a <= b for (a, _), (b, _) in zip(aligned, WORDS.spans(text), strict=True)
    )


def in_one_pass(text):
    for match in _TOKEN.finditer(text):
        whole = match.lastgroup != "word"
        yield from [match.span()] if whole else split_word(text, *match.span())


@quick
@given(st.lists(st.sampled_from([*PIECES, *" " * 20, "a", "b.", ", "])).map("".join))
def test_a_text_cut_at_its_spaces_has_the_words_of_the_whole(text):
    assert word_spans(text) == [*in_one_pass(text)]


def test_pieces_are_read_again_after_they_were_forgotten():
    text = " ".join(f"w{n}x, w{n}. Wx" for n in range(20_000))
    assert word_spans(text) == [*in_one_pass(text)]
    assert word_spans(text[:999]) == [*in_one_pass(text[:999])]


GRAPHEMES = """
👨\u200d👩\u200d👧 👩🏽\u200d🚀 👍🏽 👍 ❤\ufe0f 🇩🇪 🇫🇷 1\ufe0f\u20e3 #\ufe0f\u20e3
©\ufe0f 🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f e\u0301
a e\u0323\u0302 -\u0301 .\u0308 , हि क्षि กำ 葛\U000e0100 か\u3099 カ\u3099 각 각 ...
""".split()


@quick
@given(st.lists(st.sampled_from([*GRAPHEMES, " "])).map("".join))
def test_graphemes_stay_whole(text):
    starts = {match.start() for match in regex.finditer(r"\X", text)} | {len(text)}
    for span in word_spans(text):
        assert starts.issuperset(span)


@quick
@given(
    st.lists(
        st.sampled_from("the Don't Mr. U.S. 3.14 1,000 , . ... ( ) \" ’s n't".split())
    )
)
def test_reading_our_own_words_again_changes_nothing(words):
    once = WORDS.tokenize(" ".join(words))
    again = WORDS.tokenize(" ".join(once))
    # The dot of a sentence may be found once more at a new end; nothing else moves.
    assert WORDS.tokenize(" ".join(again)) == again
    assert "".join(again) == "".join(once)


def test_lone_surrogates_are_marks():
    assert WORDS.tokenize("a\ud800b c") == ["a", "\ud800", "b", "c"]


# What Flair 0.15.1 returns (segtok 1.5.11), taken by running it; ours must be the same.
AS_FLAIR = [
    ("The grass is green.", "The grass is green ."),
    ("Don't", "Do n't"),
    ("I'm here, John's there.", "I 'm here , John 's there ."),
    ("I'd we'll they've you're", "I 'd we 'll they 've you 're"),
    ("can't won't cannot", "ca n't wo n't cannot"),
    ("don’t it’s", "do n’t it ’s"),
    ("students' books", "students' books"),
    ("rock'n'roll y'all", "rock'n'roll y'all"),
    ("He lives in the U.S.", "He lives in the U.S ."),
    ("Hello there. How are you?", "Hello there . How are you ?"),
    ("e.g. 3.14, 1,000 and 10:30.", "e.g. 3.14 , 1,000 and 10:30 ."),
    ("well-known... yes", "well-known ... yes"),
    ("wait… what?", "wait … what ?"),
    ("a—b – c", "a — b – c"),
    ("AT&T $5 50% 5kg", "AT & T $ 5 50 % 5kg"),
    ("the '90s", "the ' 90s"),
    ("a/b and/or", "a / b and / or"),
    ("2nd 1980s 2020-01-02", "2nd 1980s 2020-01-02"),
    ("John Smith, Jr. is here. Dr. Who is not.", None),
    ("Prof. Dr. Müller z.B. heute", "Prof. Dr. Müller z.B. heute"),
    ('This is the end." He said.', 'This is the end . " He said .'),
    ("No. 5 etc.) foo I.B.M. is", "No. 5 etc. ) foo I.B.M. is"),
    ("Tab\tand\nnewline", "Tab and newline"),
    (":-) :)", ":-) :)"),
    ("\U0001f1e9\U0001f1ea e\u0301", "\U0001f1e9\U0001f1ea e\u0301"),
]
JUNIOR = "John Smith , Jr. is here . Dr. Who is not ."


@pytest.mark.parametrize(("text", "words"), AS_FLAIR)
def test_plain_cases_come_out_as_in_flair(text, words):
    assert WORDS.tokenize(text) == (words or JUNIOR).split(" ")


# Where we part from Flair, which returns pieces or clumps here.
OWN = [
    ("Oʼneill’s", "Oʼneill ’s"),
    ("O'Neill's CAN'T U.S.'s", "O'Neill 's CA N'T U.S. 's"),
    ("Visit http://example.com/a?b=c.", "Visit http://example.com/a?b=c ."),
    ("(www.x.org/a_(b)), x.org/c", "( www.x.org/a_(b) ) , x.org/c"),
    ("https://en.x.org/wiki/Ä?q=1#top!", "https://en.x.org/wiki/Ä?q=1#top !"),
    ("me@x.org, a.b+c@d-e.co.uk", "me@x.org , a.b+c@d-e.co.uk"),
    ("@handle @a.b #tag #1 C# #2go", "@handle @a.b #tag # 1 C # #2go"),
    (";-P :D =( :'( <3 8) Note:P", ";-P :D =( :'( <3 8 ) Note : P"),
    ("1/2/2020 24/7", "1/2/2020 24/7"),
    ("yes,no 1,000", "yes , no 1,000"),
    ('"quoted," he said (no).', '" quoted , " he said ( no ) .'),
    ("ok!!! what?!", "ok !!! what ?!"),
    ("end.. end.? end!", "end .. end .? end !"),
    ("my_file.txt _foo_", "my_file.txt _ foo _"),
    ("m² H₂O 1½", "m² H₂O 1½"),
    ("do n't John 's", "do n't John 's"),
    ("你好世界", "你 好 世 界"),
    ("東京タワーに行く。", "東 京 タワー に 行 く 。"),
    ("한국어 단어", "한국어 단어"),
    ("हिन्दी में العربية Ελλάδα", "हिन्दी में العربية Ελλάδα"),
    ("می\u200cخواهم", "می\u200cخواهم"),
    ("a\u200bb \ufeffc \u200b", "a b c"),
    ("1. Flour 2. He is 17. Then", "1. Flour 2 . He is 17 . Then"),
    ("Am 3. Mai kam sie.", "Am 3. Mai kam sie ."),
    ("He said no. Then 5.", "He said no . Then 5 ."),
    (
        "John F. Kennedy came at 3 p.m. Monday.",
        "John F. Kennedy came at 3 p.m. Monday .",
    ),
    ("Good. \U0001f600 Fine. :)", "Good . \U0001f600 Fine . :)"),
    ("at 83.5.", "at 83.5 ."),
    ("\U0001f44d\U0001f44d\U0001f3fd", "\U0001f44d \U0001f44d\U0001f3fd"),
    ("1\ufe0f\u20e3 ❤\ufe0f", "1\ufe0f\u20e3 ❤\ufe0f"),
]


@pytest.mark.parametrize(("text", "words"), OWN)
def test_chosen_cases(text, words):
    assert WORDS.tokenize(text) == words.split(" ")


@pytest.mark.parametrize(
    "text", ["", " ", "\n\t", "\u200b", "\u200d\ufe0f\u2060", "\u3164"]
)
def test_a_text_without_ink_has_no_words(text):
    assert WORDS.tokenize(text) == [] and WORDS.spans(text) == []


UNITS = """
a a. a' a- 1, . ! ( ) " http://( http:// @ a@a. a@ #1 :( x^_ _ a_ ^ # +. -. $a =3 's n't
www.a!!!! U. 1/ 1: ² a² - *a a.b/ é a\u0301 \u0301 a\u200d 日 あ ー ｶﾞ 👍 👍\u200d
👍\u0301 🇩 🇩\u0301 ❤\ufe0f \u0600 ... a... a.) a.( [a] (a &amp; :)) :-
"""
SPACED = [
    "a. ",
    'a." ',
    "a. ) ",
    "1. ",
    "\n",
    "a.\n",
    "A. B ",
    "a.\u00a0\u200b",
    "\u200b",
]
NASTY = UNITS.split() + SPACED


def seconds(text: str) -> float:
    taken = []
    for _ in range(2):
        begin = time.process_time()
        WORDS.spans(text)
        taken.append(time.process_time() - begin)
    return min(taken)


@pytest.mark.parametrize("unit", NASTY, ids=ascii)
def test_time_grows_with_the_length_and_no_faster(unit):
    small, large = 2_000, 16_000
    for prefix in ("", "http://a", "a."):
        text = prefix + unit * (large // len(unit))
        once, eightfold = seconds(text[:small]), seconds(text)
        # Eight times the text; quadratic work would be sixty-four times the time.
        assert eightfold < 24 * once + 0.03, (once, eightfold)


def ewt_texts(name: str):
    path = CORPORA / "ud_english" / name
    if not path.exists():
        pytest.skip("the corpus is not here")
    text, position, spans = "", 0, []
    for line in path.read_text(encoding="utf-8").splitlines():
        columns = line.split("\t")
        if line.startswith("# text = "):
            text, position, spans = line[len("# text = ") :], 0, []
        elif not line:
            yield text, spans
        elif columns[0].isdigit():
            start = text.find(columns[1], position)
            if start >= 0:
                position = start + len(columns[1])
                spans.append((start, position))


def test_agrees_with_the_tokens_of_a_corpus():
    right = ours = theirs = 0
    for text, gold in ewt_texts("en_ewt-ud-test.conllu"):
        spans = WORDS.spans(text)
        right += len(set(spans) & set(gold))
        ours, theirs = ours + len(spans), theirs + len(gold)
    assert theirs > 25_000
    assert 2 * right / (ours + theirs) > 0.98  # Flair's segtok: 0.957


def test_reading_our_own_words_again_on_a_corpus():
    for text, _ in ewt_texts("en_ewt-ud-dev.conllu"):
        words = WORDS.tokenize(text)
        assert WORDS.tokenize(" ".join(words)) == words


@quick
@given(texts)
def test_space_tokenizer_splits_where_python_does(text):
    spans = SpaceTokenizer().spans(text)
    assert [text[s:e] for s, e in spans] == text.split()
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))


def test_further_split_characters():
    tokenizer = WordTokenizer(["§", "-", "^", "]"])
    text = "§3-4 a-b ^x] http://a-b.org"
    words = "§ 3 - 4 a - b ^ x ] http://a - b.org".split()
    assert tokenizer.tokenize(text) == words
    assert [text[s:e] for s, e in tokenizer.spans(text)] == words


def test_a_subclass_of_the_default_keeps_its_word():
    class Lower(WordTokenizer):
        def tokenize(self, text):
            return [word.lower() for word in super().tokenize(text)]

    assert Lower().spans("a b") == [(0, 1), (2, 3)]
    with pytest.raises(ValueError, match=r"Lower: word 1 is 'berlin'.*character 1 on"):
        Lower().spans("a Berlin")


def test_alignment_names_the_word_and_the_place():
    assert align(["a", "a", "", "\n", "b"], "aab") == [(0, 1), (1, 2), (2, 3)]
    with pytest.raises(ValueError, match=r"word 2 is 'a'.*character 3 on \(' b'\)"):
        align(["a", "a", "a"], "a a b")


def test_a_tokenizer_without_tokenize_cannot_be_made():
    with pytest.raises(TypeError):
        Tokenizer()


def test_choosing():
    assert type(tokenizer_from(True)) is type(tokenizer_from()) is WordTokenizer
    assert type(tokenizer_from(False)) is SpaceTokenizer
    own = SpaceTokenizer()
    assert tokenizer_from(own) is own
    wrapped = tokenizer_from(lambda text: text.split("|"))
    assert isinstance(wrapped, TokenizerWrapper)
    assert wrapped.spans("a||b") == [(0, 1), (3, 4)]
    for wrong in (None, 1, "space", [str.split], SpaceTokenizer, str):
        with pytest.raises(TypeError, match="use_tokenizer"):
            tokenizer_from(wrong)


@pytest.mark.parametrize(
    "tokenizer",
    [
        WordTokenizer(),
        WordTokenizer(["§", "-"]),
        SegtokTokenizer(["%"]),
        SpaceTokenizer(),
    ],
)
def test_built_in_tokenizers_come_back_from_json(tokenizer):
    back = tokenizer_from_dict(json.loads(json.dumps(tokenizer.to_dict())))
    assert type(back) is type(tokenizer)
    text = "a-b §3 5% don't"
    assert back.spans(text) == tokenizer.spans(text)


def test_other_tokenizers_do_not():
    stored = TokenizerWrapper(str.split).to_dict()
    assert stored == {"name": "TokenizerWrapper(split)"}
    for wrong in (stored, {}, {"name": "__init__"}, {"name": "Tokenizer"}):
        with pytest.raises(ValueError, match="not built into flairnb"):
            tokenizer_from_dict(wrong)
    with pytest.raises(ValueError, match="WordTokenizer does not know"):
        tokenizer_from_dict({"name": "WordTokenizer", "colour": 1})


def test_unicode_of_every_script_is_a_word():
    for word in [
        "слово",
        "λόγος",
        "שלום",
        "كلمة",
        "शब्द",
        "คำ",
        "ቃል",
        "სიტყვა",
        "בְּרֵאשִׁית",
    ]:
        assert WORDS.tokenize(f"({word}, {word}!)") == ["(", word, ",", word, "!", ")"]
        assert WORDS.tokenize(unicodedata.normalize("NFD", word)) == [
            unicodedata.normalize("NFD", word)
        ]
