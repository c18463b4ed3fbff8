// The smallest program, linked statically, for bench_spawn.
int main() { return 0; }
