// Package rules holds the alert rules that ship: what goes wrong in most clusters, at thresholds that page once for one problem.
//
// They are rule files as anybody's (see alerter/rule), each with its tests beside it (see alerter/ruletest), embedded so that
// `kubescribe local` has them without a folder. They name no
// receiver: alerter.default_receivers are notified. Each has a severity (page: somebody must act now; ticket: in working hours;
// info: for the record), a summary, and a runbook that says what to look at first.
package rules

import "embed"

// FS holds the rule files and their tests.
//
//go:embed *.yaml
var FS embed.FS
