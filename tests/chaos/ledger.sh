# Numbers of fifteen digits: with its end a line has sixteen bytes, and none lies
# on two pages, of which a full disk might take one and refuse the other.
n=$(tail -n 1 /srv/record 2>/dev/null)
n=${n:-100000000000000}
while :; do
    if echo $((n + 1)) >> /srv/record; then
        n=$((n + 1))
        echo "wrote $n"
    fi
    sleep 0.2
done
