package store

import (
	"strings"
)

// elastic is c in Elasticsearch's query language, to stand in a filter.
func (c *condition) elastic() object {
	field := c.target.dotted()
	switch c.op {
	case opAnd:
		return object{"bool": object{"filter": c.elasticParts()}}
	case opOr:
		return object{"bool": object{"should": c.elasticParts(), "minimum_should_match": 1}}
	case opNot:
		return object{"bool": object{"must_not": c.elasticParts()}}
	case opExists:
		return object{"exists": object{"field": field}}
	case opWords:
		return object{"match": object{"message": object{"query": c.values[0].pieces[0], "operator": "and"}}}
	case opPhrase:
		return object{"match_phrase": object{"message": object{"query": c.values[0].pieces[0]}}}
	case opPrefix:
		return object{"prefix": object{"message": object{"value": words(c.values[0].pieces[0])[0]}}}
	case opIs:
		return c.elasticIs(field)
	}
	bound := map[operator]string{opLess: "lt", opAtMost: "lte", opMore: "gt", opAtLeast: "gte"}[c.op]
	if c.target.kind == kindTime {
		return elasticTimes(field, bound, c.values[0])
	}
	return object{"range": object{field: object{bound: c.values[0].number}}}
}

func (c *condition) elasticParts() []object {
	all := make([]object, len(c.parts))
	for i, p := range c.parts {
		all[i] = p.elastic()
	}
	return all
}

func elasticTimes(field, bound string, v value) object {
	t := v.time
	if t.Before(minTime) {
		t = minTime
	}
	return object{"range": object{field: object{bound: minOf(t, maxTime).UTC().Format(nanosFormat)}}}
}

// elasticIs asks for one of several values.
func (c *condition) elasticIs(field string) object {
	var exact []any
	var any []object
	for _, v := range c.values {
		switch {
		case c.target.kind == kindNumber:
			exact = append(exact, v.number)
		case c.target.kind == kindTruth:
			exact = append(exact, v.truth)
		case c.target.kind == kindTime:
			any = append(any, object{"bool": object{"filter": []object{elasticTimes(field, "gte", v), elasticTimes(field, "lte", v)}}})
		case v.exact():
			exact = append(exact, v.pieces[0])
		case c.target.kind == kindLabel: // of which no pattern can be asked
			any = append(any, object{"prefix": object{field: object{"value": v.pieces[0]}}})
		default:
			pattern := make([]string, len(v.pieces))
			for i, p := range v.pieces {
				pattern[i] = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`).Replace(p)
			}
			any = append(any, object{"wildcard": object{field: object{"value": strings.Join(pattern, "*")}}})
		}
	}
	if len(exact) > 0 {
		any = append(any, object{"terms": object{field: exact}})
	}
	if len(any) == 1 {
		return any[0]
	}
	return object{"bool": object{"should": any, "minimum_should_match": 1}}
}
