"""Medians of what the programs print, beside C++ in the same round: lines of LANGUAGE call_ns NUMBER tokens_per_second NUMBER."""
import statistics
import sys

rounds = {}
for line in sys.stdin:
    language, _, call, _, rate = line.split()
    rounds.setdefault(language, []).append((float(call), float(rate)))
print(f"{'language':<10}{'a call over C++':>18}{'tokens/s':>12}{'of C++':>10}")
for language, figures in rounds.items():
    pairs = list(zip(figures, rounds["cpp"]))
    over = statistics.median(own[0] - cpp[0] for own, cpp in pairs) / 1000
    rate = statistics.median(own[1] for own, _ in pairs)
    share = statistics.median(own[1] / cpp[1] for own, cpp in pairs)
    print(f"{language:<10}{over:>15.3f} us{rate:>12.1f}{share:>9.1%}")
