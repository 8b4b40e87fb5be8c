// Package ruletest runs the unit tests of alert rules: YAML files named *_test.yaml beside the rule files, each with cases that put
// events on a timeline and say which alerts must come of it.
//
// A case is exact: an alert that is not expected fails it as well as one that does not come. A rule counts as tested when one case
// expects it to fire and another names it as silent, because a rule that fires always passes every test of its firing.
//
// It decides with the alerter's own code (package replay), on the event time of the timeline: it has no clock, no network, and
// reads files through fs.FS only. `kubescribe rules test` calls it.
package ruletest
