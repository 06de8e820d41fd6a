#include "agent/file_hash.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PIECE_BYTES (64u << 10)

static int digest_all(int fd, uint64_t max, EVP_MD_CTX *context, unsigned char *piece)
{
    uint64_t total = 0;
    ssize_t n;
    while ((n = pread(fd, piece, PIECE_BYTES, (off_t)total)) > 0) {
        total += (uint64_t)n;
        if (total > max)
            return -EFBIG; /* it grew */
        if (!EVP_DigestUpdate(context, piece, (size_t)n))
            return -ENOMEM;
    }
    return n < 0 ? -errno : 0;
}

int file_hash(int fd, uint64_t max, char hex[65])
{
    unsigned char digest[EVP_MAX_MD_SIZE], *piece = malloc(PIECE_BYTES);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    int error = piece && context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) ? 0 : -ENOMEM;
    if (!error)
        error = digest_all(fd, max, context, piece);
    if (!error && !EVP_DigestFinal_ex(context, digest, NULL))
        error = -ENOMEM;
    for (int i = 0; i < 32 && !error; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    EVP_MD_CTX_free(context);
    free(piece);
    return error;
}
