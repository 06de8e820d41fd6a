/* user.* and group.*: names are those of the host's tables, for processes in containers too. */
#include "agent/detect/rules/field_getters.h"

#include "agent/detect/rules/user_names.h"

#define UNKNOWN "<NA>"

static bool login_of(const struct field_context *c, uint32_t *uid)
{
    struct subject self;
    if (!subject_self(c, &self))
        return false;
    if (self.ev && event_knows(self.ev, F_LOGINUID)) {
        *uid = self.ev->loginuid;
        return true;
    }
    if (!self.image || !self.image->has_loginuid)
        return false;
    *uid = self.image->loginuid;
    return true;
}

GETTER(user_number)
{
    uint32_t id;
    switch (ref->field->which) {
    case USER_UID:
        return subject_uid(c, &id) ? value_uint(out, id) : VALUE_MISSING;
    case USER_GID:
        return subject_gid(c, &id) ? value_uint(out, id) : VALUE_MISSING;
    case USER_LOGINUID:
        return login_of(c, &id) ? value_int(out, id == UINT32_MAX ? -1 : (int64_t)id) : VALUE_MISSING;
    }
    return VALUE_MISSING;
}

static enum value_answer text_or_unknown(struct value *out, const char *text)
{
    return value_name(out, text && text[0] ? text : UNKNOWN);
}

/* Never missing: who is not in the tables is "<NA>", as rules expect. */
GETTER(user_text)
{
    uint32_t id = 0;
    const intptr_t which = ref->field->which;
    const bool known = which == USER_GROUP_NAME ? subject_gid(c, &id) : which == USER_LOGIN_NAME ? login_of(c, &id) : subject_uid(c, &id);
    if (!known || !c->users)
        return value_name(out, UNKNOWN);
    if (which == USER_GROUP_NAME)
        return text_or_unknown(out, user_names_group(c->users, id));
    const struct user_name *user = user_names_find(c->users, id);
    if (!user)
        return value_name(out, UNKNOWN);
    return text_or_unknown(out, which == USER_HOME ? user->home : which == USER_SHELL ? user->shell : user->name);
}
