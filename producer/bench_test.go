package producer

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// BenchmarkWire is the CPU that one Event costs between the watch and the writer.
func BenchmarkWire(b *testing.B) {
	seeds := wireSeeds(b)
	enc := &encoder{topic: "t", cluster: testCluster}
	b.ReportAllocs()
	bytes, i := 0, 0
	for b.Loop() {
		e := scanEvent(seeds[1+i%(len(seeds)-1)])
		p, _, err := enc.event(&e, 0, noon, nil)
		if err != nil {
			b.Fatal(err)
		}
		bytes += len(p.record.Value)
		i++
	}
	b.ReportMetric(float64(bytes)/float64(i), "bytes/record")
}

// BenchmarkConvert is the same on the long way, which unusual Events take.
func BenchmarkConvert(b *testing.B) {
	var events []corev1.Event
	if err := scanFile(shop, func(e entry) {
		found, _, _ := revisions(e.raw)
		ev, err := decodeEvent(found[0].raw)
		if err != nil {
			b.Fatal(err)
		}
		events = append(events, *ev)
	}); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	bytes, i := 0, 0
	for b.Loop() {
		ev := events[i%len(events)]
		o, err := FromEvent(&ev, testCluster, 0, noon)
		if err != nil {
			b.Fatal(err)
		}
		r, _, err := eventRecord("t", o)
		if err != nil {
			b.Fatal(err)
		}
		bytes += len(r.Value)
		i++
	}
	b.ReportMetric(float64(bytes)/float64(i), "bytes/record")
}

// BenchmarkConvertRecorded is the same for a line of a recording.
func BenchmarkConvertRecorded(b *testing.B) {
	var lines []entry
	if err := scanFile(shop, func(e entry) { lines = append(lines, e) }); err != nil {
		b.Fatal(err)
	}
	p := &player{cluster: testCluster}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, _, err := p.convert(lines[i%len(lines)], FromJSON, p.newPods()); err != nil {
			b.Fatal(err)
		}
		i++
	}
}
