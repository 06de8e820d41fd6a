#include "agent/deliver/signature.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

const char *signature_key_load(const char *path, uint8_t key[SIGNATURE_KEY_BYTES])
{
    size_t size = SIGNATURE_KEY_BYTES;
    FILE *file = fopen(path, "re");
    if (!file)
        return strerror(errno);
    EVP_PKEY *pem = PEM_read_PUBKEY(file, NULL, NULL, NULL);
    fclose(file);
    bool ok = pem && EVP_PKEY_id(pem) == EVP_PKEY_ED25519 && EVP_PKEY_get_raw_public_key(pem, key, &size) == 1 && size == SIGNATURE_KEY_BYTES;
    EVP_PKEY_free(pem);
    return ok ? NULL : "not an Ed25519 public key in PEM";
}

const char *signature_parse(const void *data, size_t size, uint8_t signature[SIGNATURE_BYTES])
{
    unsigned char decoded[SIGNATURE_TEXT_MAX];
    const char *text = data;
    if (size == SIGNATURE_BYTES) {
        memcpy(signature, data, SIGNATURE_BYTES);
        return NULL;
    }
    while (size && (text[size - 1] == '\n' || text[size - 1] == '\r'))
        size--;
    if (size != 88 || EVP_DecodeBlock(decoded, data, (int)size) != 66) /* 64 bytes and two of padding */
        return "not a signature of 64 bytes, nor that as base64";
    memcpy(signature, decoded, SIGNATURE_BYTES);
    return NULL;
}

const char *signature_check(const uint8_t key[SIGNATURE_KEY_BYTES], const uint8_t signature[SIGNATURE_BYTES], const void *data, size_t size)
{
    EVP_PKEY *public = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key, SIGNATURE_KEY_BYTES);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    const char *why = "out of memory";
    if (public && context && EVP_DigestVerifyInit(context, NULL, NULL, NULL, public) == 1)
        why = EVP_DigestVerify(context, signature, SIGNATURE_BYTES, data, size) == 1 ? NULL : "the signature is not of this list and key";
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(public);
    return why;
}
