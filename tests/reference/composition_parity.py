"""What Hugging Face's tokenizers make of texts when its components are put together in every way:
python composition_parity.py DEPS OUT [SEED]

OUT/<n>/tokenizer.json  tokenizers, trained here on small texts: those of tutorials and of known families first, then random
                        compositions of all normalizers, pre-tokenizers, models, post-processors and decoders, with added
                        tokens
OUT/<n>.texts           count, lengths, texts, from reviews, from many languages and from random characters
OUT/<n>.tokens          what encode gives for each
OUT/<n>.vocabulary      the tokens by their ids
OUT/<n>.decoded         what the ids decode to
OUT/names.texts         a name for each n, which tells the composition
OUT/scalars.<name>      what normalizer <name> makes of each Unicode scalar value c, as "a" c "b", 256 of them a text

The files are laid out as in tokenizer_parity.py.
"""

import itertools
import json
import pathlib
import random
import re
import sys
import unicodedata

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from bpe_parity import LLAMA3, QWEN2, mixed_text
from tokenizer_parity import random_text, reviews, write_texts, write_tokens
from unicode_tables import charsmap

COMPOSITIONS, TEXTS = 400, 120
LANGUAGES = """
All human beings are born free and equal in dignity and rights. They aren't "alone", are they?
Tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm và quyền.
Alle Menschen sind frei und gleich an Würde und Rechten geboren: groß, größer, am größten (Straße 12½).
Tous les êtres humains naissent libres et égaux ; l'été, où ça ? « Cœur naïf » — déjà vu…
人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心！１２３ＡＢＣ
すべての人間は、生まれながらにして自由であり、ｶﾞｷﾞｸﾞ㌔㍿ﾊﾟﾋﾟ「カタカナ」ー。
모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다. 한글
Все люди рождаются свободными и равными в своём достоинстве и правах. Ёлка, йод, №5
सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है। क़ख़
يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق. لا إله ﷺ ﻻ ٣٤٥ سلام
כל בני אדם נולדו בני חורין ושווים בערכם ובזכויותיהם. שָׁלוֹם עֲלֵיכֶם
มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ เขาไม่ได้พูดสักคำ
Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια. ΟΔΟΣ ᾳ ΐ ἁ
Բոլոր մարդիկ ծնվում են ազատ ու հավասար իրենց արժանապատվությամբ։ և
İnsanlar hür, haysiyet ve haklar bakımından eşit doğarlar. Iğdır'ın ışığı DİYARBAKIR
தமிழ் மனிதர்கள் சுதந்திரமாகவே பிறக்கின்றனர்; அவர்கள் மதிப்பிலும் உரிமைகளிலும் சமம் கொ
Þetta er íslenska: ð, æ, ö. Łódź, żółć, čeština ř ů, Ǆ ǅ ǆ ŉ ĳ
price: $1,234.56 (−5%) or €99; 3×4=12, x²+y₂≠z⁄2, e-mail: a_b@c.org, http://x.y/z?q=1#top
def f(x):\n\treturn x**2  # comment\r\n\r\nprint(f(2))   \t  end
👩‍👩‍👧‍👦 family 👍🏽 ok ❤️ 🇩🇪🇫🇷 ☎ ① Ⅷ ½ ℡ ㎏ ﬁ ﬂ ﬃ ſ K Å ℃ ™ ＃ ￥ 〇
"Quotes" 'single' `ticks` ``double'' <tag attr="x"> &amp; [brackets] {braces} C++ C# F# .NET node.js
HELLO World hElLo wORLD ThIs Is MiXeD cAsE ABC123def456 v1.2.3-rc.4+build
zero\u200bwidth\u200cjoin\u200dmark\ufeff bom soft\u00adhyphen nbsp\u00a0here\u3000wide\u2028line\u0085nel
""".strip().split("\n")
LANGUAGES = [line.encode("latin-1", "backslashreplace").decode("unicode_escape") if line.startswith(("def ", "zero")) else line
             for line in LANGUAGES]
PUNCTUATION_BEHAVIORS = ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]
EXPRESSIONS = [r"\s+", r"\w+|[^\w\s]+", r"\d", r"[0-9]+", r"(?i)th", r"\p{L}+|\p{N}{1,3}", LLAMA3, QWEN2, r"[^\r\n]+",
               r"x*", r"(?=[A-Z])",
               r" ?[^(\s|[.,!?…。，、।۔،])]+", r"[\p{Han}\p{Hiragana}]", r"\p{P}", r"(?<=a)b|\bthe\b", r"[一-龥ࠀ-一가-퟿]+",
               r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|\p{N}{1,3}|"
               r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s+",
               r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+", r"(.)\1", r"\A.|.\z"]


def nfkc_rules():
    """Rules like those of SentencePiece: what NFKC changes, composed pairs, control characters."""
    rules = {}
    ranges = (0x20, 0x600), (0x2000, 0x2200), (0x3040, 0x3100), (0xfb00, 0xfb07), (0xff01, 0xffa0)
    for c in itertools.chain.from_iterable(range(*each) for each in ranges):
        s = unicodedata.normalize("NFKC", chr(c))
        if s != chr(c):
            rules[chr(c)] = s
        if 0xc0 <= c < 0x180 and len(unicodedata.normalize("NFD", chr(c))) == 2:
            rules[unicodedata.normalize("NFD", chr(c))] = chr(c)
    rules |= {"\t": " ", "\n": " ", "\r": " ", "\u200b": " ", "\ufeff": "", "\u00ad": "", "ﷺ": "صلى الله عليه وسلم", "C": "c"}
    return rules


def random_normalizer(rng, depth=0):
    def replace():
        if rng.random() < 0.5:
            return normalizers.Replace(*rng.choice(
                [(" ", "▁"), ("a", "aa"), ("``", '"'), ("é", ""), ("th", "þ"), ("\n", " ")]))
        expression = rng.choice(EXPRESSIONS[:6] + [r" {2,}", r"x*", r"(?=[A-Z])", r"\p{M}"])
        return normalizers.Replace(Regex(expression), rng.choice(["", " ", "-", "▁", "ß"]))

    kinds = [
        lambda: normalizers.BertNormalizer(*(rng.random() < 0.5 for _ in range(4))), normalizers.NFC, normalizers.NFD,
        normalizers.NFKC, normalizers.NFKD, normalizers.Nmt, normalizers.Lowercase, normalizers.StripAccents,
        lambda: normalizers.Strip(rng.random() < 0.7, rng.random() < 0.7), replace, replace,
        lambda: normalizers.Prepend(rng.choice(["▁", "x", "ab"])), PRECOMPILED,
    ]
    if depth == 0 and rng.random() < 0.5:
        return normalizers.Sequence([random_normalizer(rng, 1) for _ in range(rng.randrange(1, 4))])
    if depth == 0 and rng.random() < 0.05:
        return normalizers.ByteLevel()
    return rng.choice(kinds)()


def random_pre_tokenizer(rng, depth=0):
    behavior = rng.choice(PUNCTUATION_BEHAVIORS)
    pattern = lambda: rng.choice([" ", "-", "th", "é", "  "]) if rng.random() < 0.3 else Regex(rng.choice(EXPRESSIONS))
    split = lambda: pre_tokenizers.Split(pattern(), behavior, invert=rng.random() < 0.3)
    kinds = [
        pre_tokenizers.BertPreTokenizer, pre_tokenizers.Whitespace, pre_tokenizers.WhitespaceSplit,
        lambda: pre_tokenizers.Punctuation(behavior), lambda: pre_tokenizers.Digits(rng.random() < 0.5), split, split, split,
        lambda: pre_tokenizers.CharDelimiterSplit(rng.choice(" -é|")), pre_tokenizers.UnicodeScripts,
        lambda: pre_tokenizers.FixedLength(rng.choice([1, 3, 7])),
        lambda: pre_tokenizers.Metaspace(rng.choice("▁▁▁_"), rng.choice(["always", "first", "never"]), rng.random() < 0.6),
        lambda: pre_tokenizers.ByteLevel(rng.random() < 0.5, use_regex=rng.random() < 0.6),
    ]
    if depth == 0 and rng.random() < 0.5:
        return pre_tokenizers.Sequence([random_pre_tokenizer(rng, 1) for _ in range(rng.randrange(1, 4))])
    return rng.choice(kinds)()


def random_decoder(rng, depth=0):
    replacements = [("▁", " "), ("a", ""), (Regex(r"\s+"), "_"), (Regex("[aeiou]"), "<v>")]
    replace = lambda: decoders.Replace(*rng.choice(replacements))
    kinds = [
        decoders.ByteLevel, lambda: decoders.WordPiece(rng.choice(["##", "@@"]), rng.random() < 0.5),
        lambda: decoders.Metaspace("▁", rng.choice(["always", "first", "never"])), lambda: decoders.BPEDecoder("</w>"),
        lambda: decoders.CTC("a", "|", rng.random() < 0.5), decoders.Fuse,
        lambda: decoders.Strip(rng.choice(" ae"), 1, 0), replace, decoders.ByteFallback,
    ]
    if depth == 0 and rng.random() < 0.5:
        return decoders.Sequence([random_decoder(rng, 1) for _ in range(rng.randrange(1, 4))])
    return rng.choice(kinds)()


def random_processor(rng):
    cls, sep = ("[CLS]", 1), ("[SEP]", 2)
    template = processors.TemplateProcessing("[CLS] $A [SEP]:3", "[CLS] $A [SEP] $B:1 [SEP]:1", [cls, sep])
    byte_level = processors.ByteLevel(rng.random() < 0.5, rng.random() < 0.5)
    return rng.choice([
        template, byte_level, processors.BertProcessing(sep, cls),
        processors.RobertaProcessing(sep, cls, rng.random() < 0.5, rng.random() < 0.5),
        processors.Sequence([byte_level, template])])


def trained(rng, corpus, model, normalizer, pre_tokenizer):
    special = ["[UNK]", "[CLS]", "[SEP]"]
    size = rng.choice([200, 600, 1500])
    common = {"special_tokens": special, "show_progress": False}
    if model == "Unigram":
        tokenizer = Tokenizer(models.Unigram())
        trainer = trainers.UnigramTrainer(vocab_size=size + 1000, unk_token="[UNK]", max_piece_length=rng.choice([4, 16]),
                                          n_sub_iterations=1, **common)
    elif model == "WordLevel":
        tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
        trainer = trainers.WordLevelTrainer(vocab_size=size, **common)
    elif model == "WordPiece":
        prefix = rng.choice(["##", "##", "@@", ""])
        longest = rng.choice([100, 100, 12])
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=longest))
        trainer = trainers.WordPieceTrainer(vocab_size=size, limit_alphabet=300, continuing_subword_prefix=prefix, **common)
    else:
        prefix, suffix = rng.choice([(None, None), (None, None), (None, "</w>"), ("##", None), ("##", "</w>")])
        unknown = rng.choice([None, "[UNK]", "[UNK]"])
        options = {"unk_token": unknown, "continuing_subword_prefix": prefix, "end_of_word_suffix": suffix}
        options = {name: value for name, value in options.items() if value}
        tokenizer = Tokenizer(models.BPE(fuse_unk=rng.random() < 0.5, **options))
        byte_tokens = rng.random() < 0.3 and not prefix and not suffix
        if byte_tokens:
            common["special_tokens"] = special + [f"<0x{byte:02X}>" for byte in range(rng.choice([128, 192, 256]))]
        trainer = trainers.BpeTrainer(
            vocab_size=size + 300 * byte_tokens, limit_alphabet=rng.choice([60, 300]), max_token_length=rng.choice([6, 20]),
            continuing_subword_prefix=prefix or "", end_of_word_suffix=suffix or "", **common)
    if normalizer:
        tokenizer.normalizer = normalizer
    if pre_tokenizer:
        tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.train_from_iterator(corpus, trainer)
    state = json.loads(tokenizer.to_str())
    state["added_tokens"] = [token for token in state["added_tokens"] if not token["content"].startswith("<0x")]
    if model == "WordPiece":
        state["model"]["continuing_subword_prefix"] = prefix
    if model == "BPE":
        state["model"] |= {"byte_fallback": bool(byte_tokens), "ignore_merges": rng.random() < 0.2}
        state["model"] |= {"continuing_subword_prefix": prefix, "end_of_word_suffix": suffix}
    if model == "Unigram" and rng.random() < 0.4:
        state["model"]["byte_fallback"] = True
        lowest = min(score for _, score in state["model"]["vocab"])
        state["model"]["vocab"] += [[f"<0x{byte:02X}>", lowest - 1] for byte in range(rng.choice([200, 256]))]
        if rng.random() < 0.3:  # of a piece that stands twice the last counts
            state["model"]["vocab"].append([state["model"]["vocab"][10][0], lowest])
    return Tokenizer.from_str(json.dumps(state))


def known(corpus):
    """Tokenizers as tutorials and known families have them: name -> (normalizer, pre-tokenizer, model, decoder)."""
    n, p, d = normalizers, pre_tokenizers, decoders
    quotes = [n.Replace("``", '"'), n.Replace("''", '"')]
    one_space = n.Replace(Regex(" {2,}"), " ")
    digits, bytes_alone = p.Digits(individual_digits=True), p.ByteLevel(add_prefix_space=False, use_regex=False)
    isolated = lambda expression: p.Split(Regex(expression), "isolated")
    always = {"prepend_scheme": "always"}
    return {
        "tutorial_wordpiece": (n.Sequence([n.NFD(), n.Lowercase(), n.StripAccents()]), p.Whitespace(), "WordPiece",
                               d.WordPiece("##")),
        "tutorial_bpe": (None, p.ByteLevel(add_prefix_space=False), "BPE", d.ByteLevel()),
        "quicktour": (None, p.Whitespace(), "BPE", None),
        "pipeline": (n.Sequence([n.NFD(), n.StripAccents()]), p.Sequence([p.Whitespace(), digits]), "WordPiece",
                     d.WordPiece()),
        "xlnet": (n.Sequence([*quotes, n.NFKD(), n.StripAccents(), one_space]), p.Metaspace(), "Unigram", d.Metaspace()),
        "xlm_roberta": (n.Sequence([PRECOMPILED(), one_space]), p.Metaspace(**always), "Unigram", d.Metaspace(**always)),
        "t5": (PRECOMPILED(), p.Sequence([p.WhitespaceSplit(), p.Metaspace(**always)]), "Unigram", d.Metaspace(**always)),
        "albert": (n.Sequence([*quotes, n.NFKD(), n.StripAccents(), n.Lowercase(), PRECOMPILED(), one_space]),
                   p.Sequence([p.WhitespaceSplit(), p.Metaspace()]), "Unigram", d.Metaspace()),
        "clip": (n.Sequence([n.NFC(), n.Replace(Regex(r"\s+"), " "), n.Lowercase()]),
                 p.Sequence([p.Split(Regex(EXPRESSIONS[17]), "removed", invert=True), p.ByteLevel(add_prefix_space=False)]),
                 "BPE", d.ByteLevel()),
        "bloom": (None, p.Sequence([isolated(EXPRESSIONS[11]), bytes_alone]), "BPE", d.ByteLevel()),
        "deepseek": (None, p.Sequence([*map(isolated, [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", EXPRESSIONS[15]]), digits,
                                       bytes_alone]), "BPE", d.ByteLevel()),
        "word_level": (n.Sequence([n.NFKC(), n.Lowercase()]), p.Sequence([p.Whitespace(), p.Punctuation()]), "WordLevel",
                       None),
        "scripts": (n.NFKC(), p.Sequence([p.UnicodeScripts(), p.Metaspace()]), "Unigram", d.Metaspace()),
    }


def add_tokens(rng, tokenizer):
    contents = ["<L>", "<R>", "[MASK]", "Straße", "ÉTÉ", "abc", "C++", "ﬁn", " sp", "▁x", "the"]
    forms = set()
    for content in rng.sample(contents, rng.randrange(0, 6)):  # nothing may be left to chance: each in a form of its own
        form = tokenizer.normalizer.normalize_str(content) if tokenizer.normalizer else content
        # The library does not know again what is special in another form than it is written.
        token = AddedToken(content, single_word=rng.random() < 0.3, lstrip=rng.random() < 0.3, rstrip=rng.random() < 0.3,
                           normalized=rng.random() < 0.5, special=form == content and rng.random() < 0.3)
        if form and form not in forms:
            forms.add(form)
            tokenizer.add_tokens([token])


def make(rng, corpus, choice):
    normalizer, pre_tokenizer, model, decoder = choice
    tokenizer = trained(rng, corpus, model, normalizer, pre_tokenizer)
    if decoder:
        tokenizer.decoder = decoder
    if rng.random() < 0.6:
        tokenizer.post_processor = random_processor(rng)
    add_tokens(rng, tokenizer)
    return Tokenizer.from_str(tokenizer.to_str())


def random_choice(rng):
    while True:
        normalizer = random_normalizer(rng) if rng.random() < 0.7 else None
        pre_tokenizer = random_pre_tokenizer(rng) if rng.random() < 0.85 else None
        # A piece of nothing but what was put in front of the text, rewritten, is there twice in the library.
        in_front = any(expression in str(normalizer) for expression in ('"x*"', '"(?=[A-Z])"'))
        if not (in_front and any(name in str(pre_tokenizer) for name in ("ByteLevel", "Metaspace"))):
            break
    return (normalizer, pre_tokenizer, rng.choice(["WordPiece", "BPE", "BPE", "Unigram", "Unigram", "WordLevel"]),
            random_decoder(rng) if rng.random() < 0.8 else None)


def name_of(choice):
    return " ".join(re.sub(r'"[A-Za-z0-9+/=]{200,}"', "(rules)", str(part)) for part in choice)


def main():
    dependencies, out = map(pathlib.Path, sys.argv[1:3])
    rng = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 5)
    global PRECOMPILED
    rules = charsmap(nfkc_rules())
    PRECOMPILED = lambda: normalizers.Precompiled(rules)
    texts = reviews(dependencies / "reviews")
    names = []
    for n, (name, choice) in enumerate(itertools.chain(known(texts).items(), ((None, None) for _ in range(COMPOSITIONS)))):
        corpus = rng.sample(texts, 150) + LANGUAGES * 3
        for attempt in range(20):
            own = choice or random_choice(rng)
            try:
                tokenizer = make(rng, corpus, own)
                break
            except BaseException as error:  # some cannot be trained: no piece, a panic of the library
                if choice or isinstance(error, KeyboardInterrupt):
                    raise
        names.append(f"{name or n}: {name_of(own)}")
        wanted = rng.sample(texts, TEXTS // 4) + LANGUAGES
        while len(wanted) < TEXTS:
            kind = rng.randrange(4)
            some_language = "".join(rng.sample(LANGUAGES, 2))[rng.randrange(60):][:rng.randrange(1, 120)]
            with_added = [rng.choice(["<L>", "[MASK] ", "straße", "été", "ABC", "c++", "fin", "▁x"]), rng.choice(texts)[:40],
                          " the  sp", "<R>  "]
            wanted.append([random_text, mixed_text, lambda _: some_language, lambda _: " ".join(with_added)][kind](rng))
        if "Regex(" in names[-1]:  # libraries of regular expressions of different ages know different characters
            wanted = [text for text in wanted if not any(unicodedata.category(c) == "Cn" for c in text)]
        encodings, kept = [], []
        for text in wanted:
            try:
                encodings.append(tokenizer.encode(text))
                kept.append(text)
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
        (out / str(n)).mkdir(parents=True, exist_ok=True)
        (out / str(n) / "tokenizer.json").write_text(tokenizer.to_str())
        write_texts(out / f"{n}.texts", kept)
        write_tokens(out / f"{n}.tokens", kept, encodings)
        write_texts(out / f"{n}.vocabulary", [tokenizer.id_to_token(i) for i in range(tokenizer.get_vocab_size())])
        write_texts(out / f"{n}.decoded", tokenizer.decode_batch([e.ids for e in encodings], skip_special_tokens=bool(n % 2)))
    write_texts(out / "names.texts", names)
    scalars = ["".join(f"a{chr(c)}b" for c in range(begin, begin + 256))
               for begin in range(0, 0x110000, 256) if not 0xD800 <= begin < 0xE000]
    for name in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt"):
        write_texts(out / f"scalars.{name}", map(getattr(normalizers, name)().normalize_str, scalars))


if __name__ == "__main__":
    main()
