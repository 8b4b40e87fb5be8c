package configdoc

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"reflect"
	"regexp"
	"strings"

	"kubescribe/internal/daemon"
)

// source reads the comments of structs.
type source struct {
	root, module string
	types        map[string]structDoc // by package path + "." + name
}

// structDoc is what the source says of a struct.
type structDoc struct {
	text   string
	fields []fieldDoc
}

type fieldDoc struct{ name, key, text string }

// field is what the comment of a key's field says, with keys in place of Go's names. A field without a comment has that
// of the field before it, if that one names it.
func (s source) field(k daemon.Key) (string, error) {
	doc, err := s.of(k.Owner)
	if err != nil {
		return "", err
	}
	text := ""
	for i, f := range doc.fields {
		if f.name != k.Field {
			continue
		}
		text = f.text
		for j := i - 1; text == "" && j >= 0; j-- {
			if word(f.name).MatchString(doc.fields[j].text) {
				text = doc.fields[j].text
			}
		}
	}
	return doc.inKeys(sentence(text, k.Field)), nil
}

// section is what the comment of a section's type says.
func (s source) section(t reflect.Type) (string, error) {
	doc, err := s.of(t)
	if err != nil || doc.text == "" {
		return "", err
	}
	return doc.inKeys(sentence(doc.text, t.Name())), nil
}

// inKeys is text with keys in place of the fields' names.
func (d structDoc) inKeys(text string) string {
	for _, f := range d.fields {
		if f.key != "" {
			text = word(f.name).ReplaceAllString(text, "`"+f.key+"`")
		}
	}
	return text
}

// word matches a name as a whole word.
func word(name string) *regexp.Regexp {
	return regexp.MustCompile(`\b` + regexp.QuoteMeta(name) + `\b`)
}

func (s source) of(t reflect.Type) (structDoc, error) {
	if t == nil || t.PkgPath() == "" || !strings.HasPrefix(t.PkgPath(), s.module) && t.PkgPath() != "main" {
		return structDoc{}, nil
	}
	pkg := t.PkgPath()
	if pkg == "main" {
		pkg = s.module + "/cmd/kubescribe"
	}
	if _, read := s.types[pkg+"."]; !read {
		if err := s.read(pkg); err != nil {
			return structDoc{}, err
		}
	}
	return s.types[pkg+"."+t.Name()], nil
}

func (s source) read(pkg string) error {
	s.types[pkg+"."] = structDoc{}
	dir, err := s.dir(pkg)
	if err != nil {
		return err
	}
	noTests := func(f fs.FileInfo) bool { return !strings.HasSuffix(f.Name(), "_test.go") }
	parsed, err := parser.ParseDir(token.NewFileSet(), dir, noTests, parser.ParseComments) //nolint:staticcheck // no build tags matter here
	if err != nil {
		return fmt.Errorf("reading the source of %s: %w", pkg, err)
	}
	for _, p := range parsed {
		for _, file := range p.Files {
			for _, decl := range file.Decls {
				if g, ok := decl.(*ast.GenDecl); ok && g.Tok == token.TYPE {
					s.structs(pkg, g)
				}
			}
		}
	}
	return nil
}

func (s source) structs(pkg string, g *ast.GenDecl) {
	for _, spec := range g.Specs {
		t := spec.(*ast.TypeSpec)
		body, ok := t.Type.(*ast.StructType)
		if !ok {
			continue
		}
		doc := structDoc{text: t.Doc.Text()}
		if doc.text == "" {
			doc.text = g.Doc.Text()
		}
		for _, f := range body.Fields.List {
			text := f.Doc.Text()
			if text == "" {
				text = f.Comment.Text()
			}
			key := ""
			if f.Tag != nil {
				key = reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("koanf")
			}
			for _, n := range f.Names {
				doc.fields = append(doc.fields, fieldDoc{name: n.Name, key: key, text: text})
			}
		}
		s.types[pkg+"."+t.Name.Name] = doc
	}
}
