package origin

import (
	"errors"
	"strings"
	"testing"
)

func TestPatchValidate(t *testing.T) {
	text := func(s string) *string { return &s }
	valid := map[string]ProfilePatch{
		"name":             {Name: text("Zoë")},
		"longest name":     {Name: text(strings.Repeat("ë", MaxNameLen))},
		"no telegram id":   {TelegramID: text("")},
		"telegram id":      {TelegramID: text("123456")},
		"language":         {Language: text("en")},
		"regional":         {Language: text("zh-Hant-TW")},
		"three letters":    {Language: text("fil")},
		"no bio":           {Bio: text("")},
		"longest bio":      {Bio: text(strings.Repeat("ж", MaxBioLen))},
		"all of them":      {Name: text("a"), TelegramID: text("b"), Language: text("es-419"), Bio: text("c")},
		"line breaks, too": {Bio: text("a\nb\tc")},
	}
	for name, p := range valid {
		if err := p.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	invalid := map[string]struct {
		patch ProfilePatch
		says  string
	}{
		"nothing":           {ProfilePatch{}, "changes nothing"},
		"no name":           {ProfilePatch{Name: text("")}, "name is empty"},
		"blank name":        {ProfilePatch{Name: text(" \t")}, "name is empty"},
		"long name":         {ProfilePatch{Name: text(strings.Repeat("a", MaxNameLen+1))}, "201 characters"},
		"zero byte":         {ProfilePatch{Name: text("a\x00b")}, "zero bytes"},
		"broken UTF-8":      {ProfilePatch{Bio: text("a\xff")}, "UTF-8"},
		"long bio":          {ProfilePatch{Bio: text(strings.Repeat("a", MaxBioLen+1))}, "2001 characters"},
		"telegram id":       {ProfilePatch{TelegramID: text("1 2")}, "telegramId"},
		"no language":       {ProfilePatch{Language: text("")}, "language tag"},
		"one letter":        {ProfilePatch{Language: text("e")}, "language tag"},
		"name of language":  {ProfilePatch{Language: text("English")}, "language tag"},
		"digits first":      {ProfilePatch{Language: text("12")}, "language tag"},
		"underscore":        {ProfilePatch{Language: text("en_US")}, "language tag"},
		"ends in a hyphen":  {ProfilePatch{Language: text("en-")}, "language tag"},
		"long subtag":       {ProfilePatch{Language: text("en-abcdefghi")}, "language tag"},
		"long language tag": {ProfilePatch{Language: text("en" + strings.Repeat("-abcdefgh", 4))}, "language tag"},
		"one of them wrong": {ProfilePatch{Name: text("a"), Language: text("?")}, "language tag"},
	}
	for name, c := range invalid {
		err := c.patch.Validate()
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: error is %v, want ErrInvalid that says %q", name, err, c.says)
		}
	}
}
