# One image for every service: docker build --build-arg VERSION=v1.2.3 -t kubescribe .
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false \
      -ldflags "-s -w ${VERSION:+-X kubescribe/internal/daemon.release=$VERSION}" -o /out/kubescribe ./cmd/kubescribe \
 && mkdir -p /out/etc/kubescribe /out/data && cp -r rules /out/etc/kubescribe/rules \
 && mkdir -p /out/etc/ssl/certs && cp /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/

FROM scratch
COPY --from=build /out/ /
COPY LICENSE /LICENSE
# Numbers, because Kubernetes can check runAsNonRoot on numbers only.
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
ENTRYPOINT ["/kubescribe"]
