"""Micro-benchmarks: what each part of the engine takes for one message, alone and in one process.

`make bench-micro` runs all in half a minute and prints one table, a subject at a time: the median of an operation,
the quickest round, and how many fit into a second. The rows divide by what they name: a hop "with 64 under way" is
the time for each of the messages, a batch of 64 on the wire is the time for the whole batch.

    make bench-micro MICRO='-k wire'     the benchmarks that match, as pytest's own -k does
    make bench-micro MICRO=--short       a few rounds of each, as continuous integration runs them
    make bench-micro MICRO='--save DIR'  keep the figures, all rounds of them, in DIR/micro.json
    TMPDIR=/srv make bench-micro         puts the queue and the due index on another disk than that of /tmp

Each benchmark also looks at what came of the work (the content that was taken in, the octets that were sent, what is
left in the queue) and fails when it is wrong, so that no figure is one of work that was not done. A figure itself fails
nothing: on a machine that others use it may double. Compare only runs of one machine, and there the quickest round
first, which others disturb least.

What the figures leave out: the network, TLS, other processes and their caches, and the collection of garbage, which is
off while a round is timed. What they hold: the syncs of the disk, in "queue", which are most of it when commits are
small. `make bench` measures the whole server; a part that got faster here has got nothing for anybody before that one
says so too.

The benchmarks are pytest's, by pytest-benchmark: `pytest bench/micro` runs them with all of its options
(`--benchmark-compare`, `--benchmark-cprofile=tottime`), and nothing runs them unless it is told to. A figure there is
one of a round, whose operations stand in its `extra_info`.
"""
