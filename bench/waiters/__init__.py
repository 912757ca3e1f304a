"""What :mod:`bench.waiting` measures, each part by itself."""
