// Package embedded is what `kubescribe local` has in place of a Kafka cluster: one broker inside the process, on a data
// directory, that the services reach over loopback as they reach any other.
//
// It is not a Kafka to build on: one node, no security, no fencing of stale epochs as Kafka has it. Its promise is
// smaller, too. What it acknowledged is on disk (every batch is synced), and after a graceful stop it is exactly as it
// was. After a kill nothing acknowledged is lost, but some records of its topics may be there twice; documents and pages
// don't repeat, because they carry ids. The start after a kill ends the transactions that were open and cuts torn ends off
// before the broker reads its files. Retention is by size only, because with retention by age a kill can empty a log.
//
// Only `kubescribe local` calls it, and tests that need a broker. It is the one place outside tests that imports kfake.
package embedded
