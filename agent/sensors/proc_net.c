#include "agent/sensors/proc_net.h"

#include <errno.h>
#include <string.h>

#include "common/text.h"

struct line {
    const char *at;
    size_t left;
};

static struct line next_word(struct line *line)
{
    while (line->left && *line->at == ' ')
        line->at++, line->left--;
    struct line word = { line->at, 0 };
    while (line->left && *line->at != ' ')
        line->at++, line->left--, word.left++;
    return word;
}

static int hex_parse(const char *text, size_t digits, uint32_t *value)
{
    *value = 0;
    for (size_t i = 0; i < digits; i++) {
        char c = text[i];
        uint32_t digit = c >= '0' && c <= '9' ? (uint32_t)(c - '0') : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10) : 16;
        if (digit == 16)
            return -EINVAL;
        *value = *value << 4 | digit;
    }
    return 0;
}

/* "0100007F:1F90": each 32-bit word of the address as a number of this machine, then the port. */
static int endpoint_parse(struct line word, struct address *address, uint16_t *port)
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    size_t digits = word.left > 5 ? word.left - 5 : 0;
    uint32_t value;
    memset(address, 0, sizeof *address);
    if ((digits != 8 && digits != 32) || word.at[digits] != ':' || hex_parse(word.at + digits + 1, 4, &value))
        return -EINVAL;
    *port = (uint16_t)value;
    for (size_t i = 0; i < digits / 8; i++) {
        if (hex_parse(word.at + 8 * i, 8, &value))
            return -EINVAL;
        memcpy(address->bytes + 4 * i, &value, 4);
    }
    address->family = digits == 8 ? 4 : 6;
    if (digits == 32 && !memcmp(address->bytes, mapped, sizeof mapped)) {
        memmove(address->bytes, address->bytes + 12, 4);
        memset(address->bytes + 4, 0, 12);
        address->family = 4;
    }
    return 0;
}

int proc_net_parse(const char *line, size_t length, struct proc_net_socket *out)
{
    struct line rest = { line, length };
    uint32_t state;
    uint64_t uid;
    memset(out, 0, sizeof *out);
    next_word(&rest); /* slot */
    if (endpoint_parse(next_word(&rest), &out->local, &out->lport) || endpoint_parse(next_word(&rest), &out->peer, &out->pport))
        return -EINVAL;
    struct line word = next_word(&rest);
    if (word.left != 2 || hex_parse(word.at, 2, &state))
        return -EINVAL;
    out->state = (uint8_t)state;
    for (int i = 0; i < 3; i++) /* queues, timer, retransmits */
        next_word(&rest);
    word = next_word(&rest);
    if (text_to_u64(word.at, word.left, &uid) || uid > UINT32_MAX)
        return -EINVAL;
    out->uid = (uint32_t)uid;
    next_word(&rest); /* timeout */
    word = next_word(&rest);
    return text_to_u64(word.at, word.left, &out->inode);
}

static bool is_any(const struct address *a)
{
    static const uint8_t zero[16];
    return !memcmp(a->bytes, zero, sizeof zero);
}

int proc_net_match(const struct proc_net_socket *s, const struct address *local, uint16_t lport, const struct address *peer,
                   uint16_t pport)
{
    int score = 1;
    if (s->lport != lport)
        return 0;
    if (address_equal(&s->local, local))
        score += 1;
    else if (!is_any(&s->local) || (s->local.family == 4 && local->family == 6))
        return 0;
    if (peer && address_equal(&s->peer, peer) && s->pport == pport)
        score += 2;
    else if (peer && !(is_any(&s->peer) && !s->pport))
        return 0;
    return score;
}
