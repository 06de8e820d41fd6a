"""Generators of names, written for training and for measuring: they imitate the kinds of algorithms that malware uses, none in particular. Each gives the
label under the top-level domain. `TRAINED` go into the model, `HELD_OUT` are only measured."""
import hashlib
import random

LETTERS = "abcdefghijklmnopqrstuvwxyz"
CONSONANTS, VOWELS = "bcdfghjklmnpqrstvwxz", "aeiouy"


def uniform(r, day):
    return "".join(r.choice(LETTERS) for _ in range(r.randint(8, 20)))


def short(r, day):
    return "".join(r.choice(LETTERS) for _ in range(r.randint(6, 10)))


def alphanumeric(r, day):
    return "".join(r.choice(LETTERS + "0123456789") for _ in range(r.randint(10, 24)))


def hexadecimal(r, day):
    return "".join(r.choice("0123456789abcdef") for _ in range(r.randint(8, 32)))


def congruential(r, day):
    """A linear congruential generator seeded by the date, as many families have it."""
    state, name = (day * 2654435761 + r.getrandbits(8)) & 0xffffffff, ""
    for _ in range(12 + state % 5):
        state = (state * 1664525 + 1013904223) & 0xffffffff
        name += LETTERS[(state >> 16) % 26]
    return name


def pronounceable(r, day):
    """Consonant, vowel, consonant ...: reads like a name of no language."""
    return "".join(r.choice((CONSONANTS, VOWELS)[i % 2]) for i in range(r.randint(10, 18)))


# ---- held out ----

def shifted(r, day):
    """Another generator (xorshift), letters a to y only, length by the seed: 9 to 17."""
    state = (day * 40503 + r.getrandbits(16)) | 1
    name = ""
    for _ in range(9 + state % 9):
        state ^= (state << 13) & 0xffffffff
        state ^= state >> 17
        state ^= (state << 5) & 0xffffffff
        name += LETTERS[state % 25]
    return name


def digest(r, day):
    """Letters out of a digest of date and number: 12 to 16."""
    text = hashlib.md5(f"{day}:{r.getrandbits(24)}".encode()).hexdigest()
    return "".join(LETTERS[(int(text[2 * i:2 * i + 2], 16)) % 26] for i in range(12 + int(text[-1], 16) % 5))


def base32(r, day):
    return "".join(r.choice(LETTERS + "234567") for _ in range(r.randint(16, 26)))


def few_letters(r, day):
    """Only ten letters, as a seed picks them."""
    some = r.sample(LETTERS, 10)
    return "".join(r.choice(some) for _ in range(r.randint(11, 18)))


def syllables(r, day):
    """Syllables of two or three letters: half pronounceable."""
    name = ""
    while len(name) < 11:
        name += r.choice(CONSONANTS) + r.choice(VOWELS) + (r.choice(CONSONANTS) if r.random() < .5 else "")
    return name


def with_digits(r, day):
    return "".join(r.choice(LETTERS) for _ in range(r.randint(7, 12))) + "".join(r.choice("0123456789") for _ in range(r.randint(2, 5)))


TRAINED = [uniform, short, alphanumeric, hexadecimal, congruential, pronounceable]
HELD_OUT = [shifted, digest, base32, few_letters, syllables, with_digits]


def words(benign):
    """Two words of the held-out benign names, glued: the kind that a model of letters cannot tell. Measured to say so."""
    some = [b for b in benign if b.isalpha() and 4 <= len(b) <= 8]

    def dictionary(r, day):
        return r.choice(some) + r.choice(some)
    return dictionary


def names(family, n, seed):
    r = random.Random(f"{family.__name__}:{seed}")
    return [family(r, 20000 + i // 50) for i in range(n)]
