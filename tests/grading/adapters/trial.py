def mean(mean, x):
    return {"y": mean(x)}


def shout(shout, word):
    return {"word": shout(word)}


def count(Counter, n):
    counter = Counter()
    return {"n": n, "counts": [counter.next() for _ in range(n)]}
