package origin

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/oglab/ogcache/internal/families"
)

// Limits of what a user may store. Names and bios count characters, messages
// bytes.
const (
	MaxNameLen    = 200
	MaxBioLen     = 2000
	MaxMessageLen = 16 << 10
)

// maxLanguageLen is that of the longest sensible language tag (RFC 5646).
const maxLanguageLen = 35

// Validate returns an error wrapping ErrInvalid that names the first field
// that cannot be stored, or says that there is nothing to change.
func (p ProfilePatch) Validate() error {
	if p == (ProfilePatch{}) {
		return fmt.Errorf("%w: the patch changes nothing; give telegramId, name, language or bio", ErrInvalid)
	}
	if p.TelegramID != nil && *p.TelegramID != "" {
		if err := checkID("telegramId", *p.TelegramID); err != nil {
			return err
		}
	}
	if p.Name != nil {
		if strings.TrimSpace(*p.Name) == "" {
			return fmt.Errorf("%w: name is empty", ErrInvalid)
		}
		if err := checkText("name", *p.Name, MaxNameLen); err != nil {
			return err
		}
	}
	if p.Language != nil && !isLanguageTag(*p.Language) {
		return fmt.Errorf("%w: language is not a language tag like en or pt-BR", ErrInvalid)
	}
	if p.Bio != nil {
		return checkText("bio", *p.Bio, MaxBioLen)
	}
	return nil
}

func checkNewMessage(conversationID, userID, role, text string) error {
	if err := checkID("conversation id", conversationID); err != nil {
		return err
	}
	if err := checkID("user id", userID); err != nil {
		return err
	}
	if role != "user" && role != "assistant" {
		return fmt.Errorf("%w: a message's role is user or assistant", ErrInvalid)
	}
	if strings.TrimSpace(text) == "" {
		return fmt.Errorf("%w: the message has no text", ErrInvalid)
	}
	if len(text) > MaxMessageLen {
		return fmt.Errorf("%w: the message has %d bytes, at most %d are allowed", ErrInvalid, len(text), MaxMessageLen)
	}
	return checkStorable("text", text)
}

func checkText(field, s string, maxLen int) error {
	if n := utf8.RuneCountInString(s); n > maxLen {
		return fmt.Errorf("%w: %s has %d characters, at most %d are allowed", ErrInvalid, field, n, maxLen)
	}
	return checkStorable(field, s)
}

// checkStorable refuses what PostgreSQL's text type cannot hold.
func checkStorable(field, s string) error {
	if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
		return fmt.Errorf("%w: %s is not UTF-8 text without zero bytes", ErrInvalid, field)
	}
	return nil
}

func checkID(field, id string) error {
	if err := families.CheckID(id); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrInvalid, field, err)
	}
	return nil
}

func checkIDs(field string, ids []string) error {
	for _, id := range ids {
		if err := checkID(field, id); err != nil {
			return err
		}
	}
	return nil
}

// isLanguageTag accepts letters and digits in groups of 1 to 8 joined by
// hyphens, the first group being 2 or 3 letters.
func isLanguageTag(s string) bool {
	if len(s) > maxLanguageLen {
		return false
	}
	for i, group := range strings.Split(s, "-") {
		if group == "" || len(group) > 8 || i == 0 && (len(group) < 2 || len(group) > 3) {
			return false
		}
		for _, c := range []byte(group) {
			letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
			if !letter && (i == 0 || c < '0' || '9' < c) {
				return false
			}
		}
	}
	return true
}

// newProfile is what a user has before they tell anything about themselves.
func newProfile(userID string, now time.Time) Profile {
	return Profile{UserID: userID, Name: userID, Language: "en", UpdatedAt: now}
}

// userChange is the change of a user's row; empty Telegram ids are left out.
func userChange(userID string, telegramIDs ...string) families.Change {
	c := families.Change{Entity: families.User, UserIDs: []string{userID}}
	for _, id := range telegramIDs {
		if id != "" && (len(c.TelegramIDs) == 0 || c.TelegramIDs[0] != id) {
			c.TelegramIDs = append(c.TelegramIDs, id)
		}
	}
	return c
}

func conversationChange(id, userID string) families.Change {
	return families.Change{Entity: families.Conversation, UserIDs: []string{userID}, ConversationIDs: []string{id}}
}
