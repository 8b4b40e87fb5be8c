// Package receiver sends alerts to where people are told of them: Alertmanager, PagerDuty, Slack, Microsoft Teams, WeChat Work,
// DingTalk, Feishu or Lark, electronic mail, and a generic webhook. (The topic alerts has every alert in any case.)
//
// Each kind is a format: it turns an alert into a message, and it has one pure function that judges the far side's answer.
// What is shown is the same for all of them (page): the summary, what the newest evidence says of owner, service, node and rollout,
// a crash's last log lines, bounded, the runbook, and links to the explorer and to Kibana.
//
// A Receiver tries once: it neither retries nor records, which is the notifier's part. What it guarantees is the verdict:
// nil means that the far side has taken the alert, a *RefusedError that it never will, and every other error that it may
// at another time. It is safe for concurrent use, and its errors and strings hold no secret. Text that comes from the cluster can
// neither mention anybody in a chat nor break the message's form.
//
// The alerter's notify loop calls it.
package receiver
