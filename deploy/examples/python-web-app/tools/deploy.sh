# Puts the image of image.txt in the place of what runs in this environment. Gantry lets one deployment in at a time.
set -eu
image=$(cat image.txt)
name=shortener-$GANTRY_ENVIRONMENT
docker pull --quiet "$image" >/dev/null
docker rm --force "$name" >/dev/null 2>&1 || true
docker run --detach --name "$name" --label gantry-demo=shortener --publish "127.0.0.1:$PORT:8080" \
  --env "ENVIRONMENT=$GANTRY_ENVIRONMENT" --env "COMMIT=$GANTRY_COMMIT" --env ADMIN_TOKEN "$image" >/dev/null
echo "$GANTRY_ENVIRONMENT runs $image"
