#!/usr/bin/env python3
"""Trains the model of generated names (agent/detect/dga_model.h) and writes its table and the names on which test_dga_model measures it:

    apt-cache dumpavail > packages.txt
    tests/dga/train.py packages.txt agent/detect/dga_table.c tests/fixtures/dga

Ordinary names are facts out of Debian's package index (bookworm): labels of the hosts in "Homepage:", and names of source packages for training only. One
in four hosts (by a hash of its name) is held out. Generated names come from families.py. What is learnt: how often each pair of letters follows one
another in ordinary names, and a logistic regression over eight features of a label. Needs nothing but Python; a minute."""
import hashlib
import math
import random
import re
import sys

import families

CLASSES = 29  # 0 begin and end, 1-26 letters, 27 digits, 28 the rest
FEATURES = 9
PER_FAMILY, HELD_PER_FAMILY, HELD_BENIGN = 1500, 250, 1200
COMMON_SECOND = {"co", "com", "net", "org", "edu", "gov", "ac", "or", "ne", "go"}


def letter(c):
    return ord(c) - 96 if "a" <= c <= "z" else 27 if c.isdigit() else 28


def classes(label):
    return [0] + [letter(c) for c in label] + [0]


def features(label, table):
    n = len(label)
    seq = classes(label)
    pairs = [table[a][b] for a, b in zip(seq, seq[1:])]
    digits = sum(c.isdigit() for c in label)
    alpha = sum("a" <= c <= "z" for c in label)
    vowels = sum(c in "aeiouy" for c in label)
    run = longest = turns = 0
    for i, c in enumerate(label):
        run = run + 1 if "a" <= c <= "z" and c not in "aeiouy" else 0
        longest = max(longest, run)
        turns += i > 0 and c.isdigit() != label[i - 1].isdigit()
    mean = sum(pairs) / len(pairs)
    rare = sum(p < -550 for p in pairs) / len(pairs)
    return [1.0, mean / 100, rare, n / 10, digits / n, vowels / max(alpha, 1), longest / 4, turns / n, mean / 100 * n / 10]


def solve(a, b):
    n = len(b)
    m = [row[:] + [v] for row, v in zip(a, b)]
    for i in range(n):
        p = max(range(i, n), key=lambda k: abs(m[k][i]))
        m[i], m[p] = m[p], m[i]
        for k in range(i + 1, n):
            f = m[k][i] / m[i][i]
            for j in range(i, n + 1):
                m[k][j] -= f * m[i][j]
    x = [0.0] * n
    for i in reversed(range(n)):
        x[i] = (m[i][n] - sum(m[i][j] * x[j] for j in range(i + 1, n))) / m[i][i]
    return x


def regress(rows, marks, weights):
    """Logistic regression by Newton's method, a little ridge."""
    w = [0.0] * FEATURES
    for _ in range(15):
        grad, hess = [-0.01 * v for v in w], [[0.01 * (i == j) for j in range(FEATURES)] for i in range(FEATURES)]
        for x, y, weight in zip(rows, marks, weights):
            p = 1 / (1 + math.exp(-max(-30, min(30, sum(a * b for a, b in zip(w, x))))))
            for i in range(FEATURES):
                grad[i] += weight * (y - p) * x[i]
                for j in range(FEATURES):
                    hess[i][j] += weight * p * (1 - p) * x[i] * x[j]
        step = solve(hess, grad)
        w = [a + b for a, b in zip(w, step)]
    return w


def held(name):
    return hashlib.md5(name.encode()).digest()[0] % 4 == 0


def ordinary(path):
    """(labels for training, labels held out): those that somebody registered come from hosts."""
    train, out, packages = set(), set(), set()
    for line in open(path, encoding="utf-8", errors="replace"):
        if line.startswith("Homepage: "):
            host = re.sub(r"[/:?#].*", "", re.sub(r"^[a-z+]+://", "", line[10:].strip().lower()))
            labels = host.split(".")
            if len(labels) < 2 or not re.fullmatch(r"[a-z0-9.-]+", host):
                continue
            at = -3 if len(labels) > 2 and labels[-2] in COMMON_SECOND else -2
            (out if held(labels[at]) else train).add(labels[at])
            train.update(x for x in labels[:at] if not held(x))
        elif line.startswith("Source: ") or line.startswith("Package: "):
            packages.add(line.split()[1].lower())
    fit = [sorted(x for x in s if 6 <= len(x) <= 40) for s in (train, out, packages)]
    extra = random.Random(1).sample([p for p in fit[2] if re.fullmatch(r"[a-z0-9-]+", p) and not held(p)], 6000)
    return fit[0] + extra, fit[1]


def learn_pairs(names):
    counts = [[0.3] * CLASSES for _ in range(CLASSES)]
    for name in names:
        seq = classes(name)
        for a, b in zip(seq, seq[1:]):
            counts[a][b] += 1
    return [[round(100 * math.log(c / sum(row))) for c in row] for row in counts]


def auc(good, bad):
    ranked = sorted([(s, 0) for s in good] + [(s, 1) for s in bad])
    rank = sum(i + 1 for i, (_, y) in enumerate(ranked) if y)
    return (rank - len(bad) * (len(bad) + 1) / 2) / (len(bad) * len(good))


def write_table(path, table, w):
    with open(path, "w") as f:
        f.write('/* Made by: tests/dga/train.py packages.txt agent/detect/dga_table.c tests/fixtures/dga\n'
                ' * out of the package index of Debian 12 (apt-cache dumpavail) and of tests/dga/families.py; see there. */\n#include "agent/detect/dga_model.h"\n\n')
        f.write("const int16_t dga_pairs[DGA_CLASSES][DGA_CLASSES] = {\n")
        for row in table:
            text = "    { " + ", ".join(map(str, row)) + " },\n"
            f.write(text)
        f.write("};\n\nconst float dga_weights[DGA_FEATURES] = {\n    " + ", ".join(f"{v:.4f}f" for v in w) + ",\n};\n")


def main():
    source, table_path, fixtures = sys.argv[1:]
    train, out = ordinary(source)
    table = learn_pairs(train)
    rows = [features(x, table) for x in train]
    marks, weights = [0] * len(rows), [1.0] * len(rows)
    for family in families.TRAINED:
        some = [x for x in families.names(family, PER_FAMILY, 1)]
        rows += [features(x, table) for x in some]
        marks += [1] * len(some)
        weights += [len(train) / (PER_FAMILY * len(families.TRAINED))] * len(some)
    w = regress(rows, marks, weights)
    write_table(table_path, table, w)

    def score(x):
        return sum(a * b for a, b in zip(w, features(x, table)))
    random.Random(2).shuffle(out)
    benign = sorted(out[:HELD_BENIGN])
    files = {"ordinary": benign}
    for kind, some in (("trained", families.TRAINED), ("held", families.HELD_OUT + [families.words(out)])):
        for family in some:
            files[f"{kind}-{family.__name__}"] = families.names(family, HELD_PER_FAMILY, 2)
    good = [score(x) for x in benign]
    print(f"{len(train)} ordinary names to learn from, {len(benign)} held out; weights {[round(v, 2) for v in w]}")
    cut = sorted(good)[int(len(good) * .99)]
    for name, some in files.items():
        with open(f"{fixtures}/{name}.txt", "w") as f:
            f.write("\n".join(some) + "\n")
        if name != "ordinary":
            bad = [score(x) for x in some]
            print(f"{name:24s} AUC {auc(good, bad):.4f}  found at 1 % false {sum(s > cut for s in bad) / len(bad):.3f}")
    print(f"threshold at 1 %: {cut:.2f}; at 0.3 %: {sorted(good)[int(len(good) * .997)]:.2f}", sorted(benign, key=score)[-15:])


if __name__ == "__main__":
    main()
