package stream

import "strings"

// Scoped is the group or transactional id that this installation uses in Kafka under name. Two installations with prefixes
// of their own on one Kafka must share neither offsets nor fencing, so a prefix other than the default becomes part of it. A
// name that has the prefix already (from a dead letter's header, say) stays as it is.
func (c Config) Scoped(name string) string {
	if name == "" || c.TopicPrefix == "" || c.TopicPrefix == DefaultTopicPrefix || strings.HasPrefix(name, c.TopicPrefix) {
		return name
	}
	return c.TopicPrefix + name
}

func (c Config) scopedAll(names []string) []string {
	all := make([]string, len(names))
	for i, name := range names {
		all[i] = c.Scoped(name)
	}
	return all
}
