#!/bin/sh
# The "web service": every second one upload and the row that names it, as an app under use would.
n=0
while true; do
  n=$((n + 1))
  path="uploads/$((n % 10))/file-$(date +%s)-$n.txt"
  mkdir -p "/var/lib/app/files/uploads/$((n % 10))"
  echo "upload $n" > "/var/lib/app/files/$path"
  psql -q -X -c "INSERT INTO uploads (path) VALUES ('$path')" || true
  sleep 1
done
