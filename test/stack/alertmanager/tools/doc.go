// Package tools pins Alertmanager in a module of its own, so that what it requires does not become what kubescribe requires.
// stack.Prepare builds it, as a module by itself: its checksum is here, those of what it requires are in its own go.sum.
package tools
