# What a terminal or a CI would set; what is inherited from the first process of the machine is not what a test expects.
ulimit -n 1048576
check() {
    began=$(date +%s)
    if timeout -s KILL 240 env --default-signal "$1" "$2" --exact --test-threads=1 >/tmp/said 2>&1 && grep -q '^test result: ok. 1 passed' /tmp/said; then
        echo "ok $2 ($(($(date +%s) - began)) s)"
    else
        echo "FAILED $2"
        tail -n 60 /tmp/said
    fi
}
