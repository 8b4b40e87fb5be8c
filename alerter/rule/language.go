package rule

import (
	"fmt"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"

	"kubescribe/internal/message"
)

// language is what expressions are written in: expr-lang over Env, with these differences. The clock is no part of it: a rule
// that depends on when it is read could not be replayed. duration reads days and weeks too, and normalise is there.
func language() []expr.Option {
	return []expr.Option{
		expr.Env(&Env{}), expr.AsBool(), expr.DisableBuiltin("now"), expr.DisableBuiltin("duration"),
		expr.Function("duration", func(args ...any) (any, error) { return parseDuration(args[0].(string)) }, new(func(string) time.Duration)),
		expr.Function("normalise", func(args ...any) (any, error) { return message.Normalise(args[0].(string)), nil }, new(func(string) string)),
	}
}

// durations turns duration("5m") into its value when an expression is compiled, so that a mistake in it is found then. It keeps
// the first mistake and its place, in characters from 0.
type durations struct {
	err error
	at  int
}

// Visit is ast.Visitor's.
func (d *durations) Visit(n *ast.Node) {
	call, ok := (*n).(*ast.CallNode)
	if !ok || len(call.Arguments) != 1 {
		return
	}
	name, ok := call.Callee.(*ast.IdentifierNode)
	text, constant := call.Arguments[0].(*ast.StringNode)
	if !ok || !constant || name.Value != "duration" {
		return
	}
	value, err := parseDuration(text.Value)
	if err != nil {
		if d.err == nil {
			d.err, d.at = fmt.Errorf("%q is no duration: write it like 30s, 5m, 1h30m or 1d", text.Value), text.Location().From
		}
		return
	}
	ast.Patch(n, &ast.ConstantNode{Value: value})
}
