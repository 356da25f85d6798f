#!/usr/bin/env python3
"""Opens the vectors of docs/envelope.md, with nothing but that page.

    python3 docs/envelope.py [PAGE]

Python's standard library only: P-256, RFC 9380, AES-256-GCM and HKDF are written
out below. It is meant to be read beside the page, and to open an envelope if this
project is gone and t holders still have their shares. It is not constant time:
run it where nobody measures.
"""

import functools
import hashlib
import hmac
import itertools
import json
import math
import os
import re
import sys


class Refused(Exception):
    """The envelope, or a proof, is not what it should be."""


# --- P-256 (SP 800-186, section 3.2.1.3). The identity is None. ---------------

p = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
q = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
A = p - 3
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)


def on_curve(x, y):
    return (y * y - x * x * x - A * x - B) % p == 0


def add(P, Q):
    if P is None or Q is None:
        return P or Q
    (x1, y1), (x2, y2) = P, Q
    if x1 == x2:
        if (y1 + y2) % p == 0:
            return None
        slope = (3 * x1 * x1 + A) * pow(2 * y1, -1, p) % p
    else:
        slope = (y2 - y1) * pow(x2 - x1, -1, p) % p
    x = (slope * slope - x1 - x2) % p
    return x, (slope * (x1 - x) - y1) % p


def neg(P):
    return None if P is None else (P[0], -P[1] % p)


def mul(k, P):
    if k < 0:
        return mul(-k, neg(P))
    R = None
    for bit in bin(k)[2:]:
        R = add(R, R)
        if bit == "1":
            R = add(R, P)
    return R


def point(b):
    """65 bytes, 04 ‖ x ‖ y, on the curve: so it is never the identity."""
    x, y = int.from_bytes(b[1:33], "big"), int.from_bytes(b[33:], "big")
    if len(b) != 65 or b[0] != 4 or x >= p or y >= p or not on_curve(x, y):
        raise Refused("not a point")
    return x, y


def scalar(b):
    k = int.from_bytes(b, "big")
    if len(b) != 32 or k >= q:
        raise Refused("not a scalar")
    return k


def encode(P):
    return b"\x04" + P[0].to_bytes(32, "big") + P[1].to_bytes(32, "big")


def compress(P):
    return bytes([2 + P[1] % 2]) + P[0].to_bytes(32, "big")


# --- Hashing to scalars and points (RFC 9380) ---------------------------------


def expand(message, dst, size):
    """expand_message_xmd with SHA-256, section 5.3.1."""
    sha = lambda b: hashlib.sha256(b).digest()
    dst += bytes([len(dst)])
    b0 = sha(bytes(64) + message + size.to_bytes(2, "big") + b"\0" + dst)
    blocks = [sha(b0 + b"\1" + dst)]
    while 32 * len(blocks) < size:
        mixed = bytes(x ^ y for x, y in zip(b0, blocks[-1]))
        blocks.append(sha(mixed + bytes([len(blocks) + 1]) + dst))
    return b"".join(blocks)[:size]


def hash_to_field(message, dst, count, modulus):
    out = expand(message, dst, 48 * count)
    return [int.from_bytes(out[48 * i : 48 * i + 48], "big") % modulus for i in range(count)]


def map_to_curve(u):
    """The simplified SWU map, section 6.6.2, with Z = -10."""
    Z = p - 10
    t = (pow(Z, 2, p) * pow(u, 4, p) + Z * u * u) % p
    if t == 0:
        x = B * pow(Z * A, -1, p) % p
    else:
        x = -B * pow(A, -1, p) * (1 + pow(t, -1, p)) % p
    g = (pow(x, 3, p) + A * x + B) % p
    y = pow(g, (p + 1) // 4, p)
    if y * y % p != g:
        x = Z * u * u * x % p
        g = (pow(x, 3, p) + A * x + B) % p
        y = pow(g, (p + 1) // 4, p)
    if u % 2 != y % 2:
        y = -y % p
    return x, y


def hash_to_point(message, dst):
    """P256_XMD:SHA-256_SSWU_RO_, section 8.2."""
    u0, u1 = hash_to_field(message, dst, 2, p)
    return add(map_to_curve(u0), map_to_curve(u1))


# --- AES-256-GCM (FIPS 197, SP 800-38D) ---------------------------------------


def xtime(b):
    return (b << 1 ^ 0x11B) & 0xFF if b & 0x80 else b << 1


def make_sbox():
    box, a, inverse = [0] * 256, 1, 1
    while True:
        a ^= xtime(a)  # times 3, a generator
        for shift in 1, 2, 4:  # divided by 3
            inverse ^= inverse << shift & 0xFF
        if inverse & 0x80:
            inverse ^= 0x09
        rotated = inverse
        for turn in 1, 2, 3, 4:
            rotated ^= (inverse << turn | inverse >> 8 - turn) & 0xFF
        box[a] = rotated ^ 0x63
        if a == 1:
            break
    box[0] = 0x63
    return box


SBOX = make_sbox()


def expand_key(key):
    words = [key[i : i + 4] for i in range(0, 32, 4)]
    rcon = 1
    for i in range(8, 60):
        w = words[-1]
        if i % 8 == 0:
            w = bytes(SBOX[b] for b in w[1:] + w[:1])
            w = bytes([w[0] ^ rcon]) + w[1:]
            rcon = xtime(rcon)
        elif i % 8 == 4:
            w = bytes(SBOX[b] for b in w)
        words.append(bytes(x ^ y for x, y in zip(words[-8], w)))
    return [b"".join(words[i : i + 4]) for i in range(0, 60, 4)]


def aes(round_keys, block):
    s = [x ^ y for x, y in zip(block, round_keys[0])]
    for turn, key in enumerate(round_keys[1:], 1):
        s = [SBOX[s[(i + 4 * (i % 4)) % 16]] for i in range(16)]  # SubBytes, ShiftRows
        if turn < 14:  # MixColumns
            mixed = []
            for c in range(0, 16, 4):
                a = s[c : c + 4]
                every = a[0] ^ a[1] ^ a[2] ^ a[3]
                mixed += [a[i] ^ every ^ xtime(a[i] ^ a[(i + 1) % 4]) for i in range(4)]
            s = mixed
        s = [x ^ y for x, y in zip(s, key)]
    return bytes(s)


def ghash(h, data):
    h, y = int.from_bytes(h, "big"), 0
    for i in range(0, len(data), 16):
        x, y, v = y ^ int.from_bytes(data[i : i + 16], "big"), 0, h
        for bit in range(127, -1, -1):
            if x >> bit & 1:
                y ^= v
            v = v >> 1 ^ (0xE1 << 120 if v & 1 else 0)
    return y.to_bytes(16, "big")


def gcm(key, nonce, data, aad, sealing):
    """The other of plaintext and ciphertext, and the tag over the ciphertext."""
    keys = expand_key(key)
    stream = b"".join(aes(keys, nonce + (i + 2).to_bytes(4, "big")) for i in range(-(-len(data) // 16)))
    other = bytes(x ^ y for x, y in zip(data, stream))
    ciphertext = other if sealing else data
    padded = lambda b: b + bytes(-len(b) % 16)
    lengths = (8 * len(aad)).to_bytes(8, "big") + (8 * len(ciphertext)).to_bytes(8, "big")
    hashed = ghash(aes(keys, bytes(16)), padded(aad) + padded(ciphertext) + lengths)
    tag = bytes(x ^ y for x, y in zip(hashed, aes(keys, nonce + b"\0\0\0\1")))
    return other, tag


def seal(key, nonce, plaintext, aad):
    ciphertext, tag = gcm(key, nonce, plaintext, aad, True)
    return nonce + ciphertext + tag


def unseal(key, sealed, aad):
    nonce, ciphertext, tag = sealed[:12], sealed[12:-16], sealed[-16:]
    plaintext, want = gcm(key, nonce, ciphertext, aad, False)
    if not hmac.compare_digest(tag, want):
        raise Refused("the wrapped key does not authenticate")
    return plaintext


# --- The page: lists, label, key derivation -----------------------------------

SUITE, FORMAT = b"\1", b"\1"


def u32(v):
    return v.to_bytes(4, "big")


def u64(v):
    return v.to_bytes(8, "big")


def tagged(tag, *parts):
    """list(tag, parts...) of the page."""
    parts = (b"warifu/v1/" + tag.encode(),) + parts
    return u64(len(parts)) + b"".join(u64(len(part)) + part for part in parts)


def H(tag, *parts):
    return hashlib.sha256(tagged(tag, *parts)).digest()


G_BAR = hash_to_point(b"warifu second generator of P-256", b"warifu/v1/second-generator")


def canonical(context):
    pairs = sorted((k.encode(), v.encode()) for k, v in context.items())
    return tagged("context", *itertools.chain.from_iterable(pairs))


def delta(t, h):
    """Δ of a key born with t of h."""
    quorums = list(itertools.combinations(range(1, h + 1), t))
    coefficients = [c for quorum in quorums for c in lagrange(quorum)]
    d = math.lcm(*(den for _, den in coefficients))
    return d if all(abs(d * num // den) < 2**63 for num, den in coefficients) else 1


def lagrange(quorum):
    """The coefficients at zero, each a fraction in lowest terms."""
    out = []
    for i in quorum:
        num = math.prod(j for j in quorum if j != i)
        den = math.prod(j - i for j in quorum if j != i)
        g = math.gcd(num, den) * (1 if den > 0 else -1)
        out.append((num // g, den // g))
    return out


class Key:
    """The public half of one version of a key."""

    def __init__(self, cluster, key_id, version, t, h, Y):
        self.cluster, self.key_id, self.version = cluster, key_id, u32(version)
        self.t, self.h, self.Y, self.delta = t, h, Y, delta(t, h)
        self.W = mul(self.delta, Y)

    def label(self, context):
        return H("envelope/label", SUITE, FORMAT, self.cluster, self.key_id, self.version, context)

    def challenge(self, context, unproved, w, w_bar):
        e = Envelope.fields(unproved)
        return (
            int.from_bytes(
                H("envelope/challenge", SUITE, FORMAT, e["cluster"], e["key_id"], e["version"], encode(self.W), context,
                  e["u"], e["u_bar"], encode(w), encode(w_bar), e["commitment"] + e["wrapped"]), "big") % q
        )  # fmt: skip

    def derive(self, kem_point, label, u):
        """HKDF-SHA256 without salt (RFC 5869): KEK, commitment."""
        info = tagged("envelope/kek", SUITE, label, u, encode(self.W))
        prk = hmac.digest(bytes(32), encode(kem_point), "sha256")
        kek = hmac.digest(prk, info + b"\1", "sha256")
        return kek, hmac.digest(prk, kek + info + b"\2", "sha256")

    def wrap(self, context, dek, r, s, nonce):
        label = self.label(context)
        u = encode(mul(r, G))
        kek, commitment = self.derive(mul(r, self.W), label, u)
        b = FORMAT + SUITE + self.cluster + self.key_id + self.version + u + encode(mul(r, G_BAR)) + commitment
        b += seal(kek, nonce, dek, tagged("envelope/aad", label))
        e = self.challenge(context, b, mul(s, G), mul(s, G_BAR))
        return b + e.to_bytes(32, "big") + ((s + e * r) % q).to_bytes(32, "big")

    def verify(self, envelope, context):
        if (envelope.cluster, envelope.key_id, envelope.version) != (self.cluster, self.key_id, self.version):
            raise Refused("the envelope is for another cluster, key or version")
        w = add(mul(envelope.f, G), neg(mul(envelope.e, envelope.u)))
        w_bar = add(mul(envelope.f, G_BAR), neg(mul(envelope.e, envelope.u_bar)))
        if w is None or w_bar is None or self.challenge(context, envelope.raw[:-64], w, w_bar) != envelope.e:
            raise Refused("the envelope's proof does not hold")

    def open(self, envelope, context, partials):
        """partials: index → D_i, exactly t of them, of one epoch."""
        self.verify(envelope, context)
        quorum = sorted(partials)
        if len(quorum) != self.t or quorum[0] < 1 or quorum[-1] > self.h:
            raise Refused("not a quorum")
        kem_point = None
        for i, (num, den) in zip(quorum, lagrange(quorum)):
            kem_point = add(kem_point, mul(self.delta * num * pow(den, -1, q) % q, partials[i]))
        if kem_point is None:
            raise Refused("the envelope did not open with these partials")
        label = self.label(context)
        kek, commitment = self.derive(kem_point, label, encode(envelope.u))
        if not hmac.compare_digest(commitment, envelope.commitment):
            raise Refused("the envelope did not open with these partials")
        return unseal(kek, envelope.wrapped, tagged("envelope/aad", label))


class Envelope:
    @staticmethod
    def fields(b):
        """Of an envelope without its proof."""
        return dict(format=b[0:1], suite=b[1:2], cluster=b[2:34], key_id=b[34:66], version=b[66:70], u=b[70:135],
                    u_bar=b[135:200], commitment=b[200:232], wrapped=b[232:])  # fmt: skip

    def __init__(self, b):
        if not 325 <= len(b) <= 388:
            raise Refused("not the length of an envelope")
        f = self.fields(b[:-64])
        if f["format"] != FORMAT or f["suite"] != SUITE:
            raise Refused("another format or suite")
        self.raw, self.cluster, self.key_id, self.version = b, f["cluster"], f["key_id"], f["version"]
        self.u, self.u_bar = point(f["u"]), point(f["u_bar"])
        self.commitment, self.wrapped = f["commitment"], f["wrapped"]
        self.e, self.f = scalar(b[-64:-32]), scalar(b[-32:])


# --- Share proofs (RFC 9497, section 2.2) and endorsements --------------------


def prefixed(*parts):
    return b"".join(len(part).to_bytes(2, "big") + part for part in parts)


def check_share(key, epoch, index, Y_i, D_i, envelope, proof):
    context = H("share-proof", SUITE, key.cluster, key.key_id, key.version, u64(epoch), u64(index), encode(Y_i),
                encode(D_i), H("envelope/hash", envelope.raw))  # fmt: skip
    to_scalar = lambda b: hash_to_field(b, b"HashToScalar-" + context, 1, q)[0]
    seed = hashlib.sha256(prefixed(compress(Y_i), b"Seed-" + context)).digest()
    d = to_scalar(prefixed(seed) + b"\0\0" + prefixed(compress(envelope.u), compress(D_i)) + b"Composite")
    M, Z = mul(d, envelope.u), mul(d, D_i)
    c, s = scalar(proof[:32]), scalar(proof[32:])
    t2, t3 = add(mul(s, G), mul(c, Y_i)), add(mul(s, M), mul(c, Z))
    if t2 is None or t3 is None:  # the identity has no encoding here
        raise Refused("the share proof does not verify")
    if to_scalar(prefixed(*map(compress, (Y_i, M, Z, t2, t3))) + b"Challenge") != c:
        raise Refused("the share proof does not verify")


def endorsement(mac_key, node, key, context, envelope):
    listed = tagged("envelope/endorsement", u64(1), key.cluster, node, key.key_id, key.version, key.label(context),
                    envelope.raw)  # fmt: skip
    return hmac.digest(mac_key, listed, "sha256")[:16]


# --- Symmetric keys -----------------------------------------------------------

SYMMETRIC = b"\2"


def xor(values):
    return bytes(functools.reduce(lambda a, b: [x ^ y for x, y in zip(a, b)], values, bytes(32)))


def members(S):
    """The indices in a set."""
    return [i for i in range(1, 10) if S >> (i - 1) & 1]


def sets(t, h):
    """Every set of h-t+1 holders, ascending."""
    return [S for S in range(1, 1 << h) if len(members(S)) == h - t + 1]


class Item:
    """The envelope of a symmetric key."""

    def __init__(self, b):
        m = int.from_bytes(b[102:104], "big")
        if not 1 <= m <= 2048 or not 12 + 33 + 16 <= len(b) - 104 - m <= 12 + 96 + 16:
            raise Refused("not the length of an item")
        if b[0:1] != FORMAT or b[1:2] != SYMMETRIC:
            raise Refused("another format or suite")
        self.header, self.sealed = b[: 104 + m], b[104 + m :]
        self.cluster, self.key_id, self.version = b[2:34], b[34:66], b[66:70]
        self.alpha, self.principal = b[70:102], b[104 : 104 + m]

    def input(self, context):
        """What F is evaluated at: each set key gives HMAC-SHA256 of it."""
        return tagged("item/input", SYMMETRIC, self.cluster, self.key_id, self.version, context, self.principal, self.alpha)

    def open(self, F):
        plain = unseal(item_key(F, self.header), self.sealed, tagged("item/aad", self.header))
        if not hmac.compare_digest(commitment(plain[:32], plain[32:]), self.alpha):
            raise Refused("who encrypted cheated")
        return plain[32:]


BRANCHED = b"\3"


class BranchItem:
    """The envelope of a symmetric key that is of a branch."""

    def __init__(self, b):
        if not 117 + 12 + 33 + 16 <= len(b) <= 117 + 2048 + 16 * 129 + 12 + 96 + 16:
            raise Refused("not the length of an item")
        if b[0:1] != FORMAT or b[1:2] != BRANCHED:
            raise Refused("another format or suite")
        self.cluster, self.key_id, self.version, self.alpha = b[2:34], b[34:66], b[66:70], b[70:102]
        self.start, self.seconds = int.from_bytes(b[102:110], "big"), int.from_bytes(b[110:114], "big")
        if not 1 <= self.seconds <= 86400 or self.start >= 1 << 40 or self.start % self.seconds:
            raise Refused("not an interval")
        m = int.from_bytes(b[114:116], "big")
        if not 1 <= m <= 2048 or 116 + m >= len(b):
            raise Refused("not a principal")
        self.principal, at, self.names = b[116 : 116 + m], 117 + m, []
        for _ in range(b[116 + m]):
            if at >= len(b) or at + 1 + b[at] > len(b):
                raise Refused("names are cut off")
            self.names.append(b[at + 1 : at + 1 + b[at]])
            at += 1 + b[at]
        if len(self.names) > 16 or self.names != sorted(set(self.names)) or not all(1 <= len(n) <= 128 for n in self.names):
            raise Refused("not the names of a branch")
        self.header, self.sealed = b[:at], b[at:]
        if not 12 + 33 + 16 <= len(self.sealed) <= 12 + 96 + 16:
            raise Refused("not the length of an item")

    def branch(self, context):
        """What F is evaluated at for the branch key; the context has the named pairs alone."""
        return tagged("branch/input", BRANCHED, self.cluster, self.key_id, self.version, context, u64(self.start),
                      u64(self.seconds), self.principal)  # fmt: skip

    def open(self, branch_key, context):
        """The context is the whole one."""
        stands_for_F = branch_item(branch_key, context, self.alpha)
        plain = unseal(item_key(stands_for_F, self.header), self.sealed, tagged("item/aad", self.header))
        if not hmac.compare_digest(commitment(plain[:32], plain[32:]), self.alpha):
            raise Refused("who encrypted cheated")
        return plain[32:]


def branch_item(branch_key, context, alpha):
    return hmac.digest(branch_key, tagged("branch/item", BRANCHED, context, alpha), "sha256")


def branched(cluster, key_id, version, start, seconds, principal, names, alpha):
    """The header of an item of a branch."""
    listed = bytes([len(names)]) + b"".join(bytes([len(n)]) + n for n in names)
    begin = FORMAT + BRANCHED + cluster + key_id + u32(version) + alpha + u64(start) + u32(seconds)
    return begin + len(principal).to_bytes(2, "big") + principal + listed


def commitment(rho, dek):
    return hmac.digest(rho, tagged("item/commitment", dek), "sha256")


def item_key(F, header):
    """HKDF-SHA256 without salt (RFC 5869)."""
    return hmac.digest(hmac.digest(bytes(32), F, "sha256"), tagged("item/key", header[1:2], header) + b"\1", "sha256")


def item(cluster, key_id, version, principal, rho, dek):
    """The header, before any holder is asked."""
    length = len(principal).to_bytes(2, "big")
    return FORMAT + SYMMETRIC + cluster + key_id + u32(version) + commitment(rho, dek) + length + principal


def encrypt(header, F, rho, dek, nonce):
    return header + seal(item_key(F, header), nonce, rho + dek, tagged("item/aad", header))


# --- The vectors --------------------------------------------------------------


def check(condition, what):
    if not condition:
        raise SystemExit("envelope.py: " + what)


def refused(what, action, *arguments):
    try:
        action(*arguments)
    except Refused:
        return
    raise SystemExit("envelope.py: taken, although " + what)


def check_vector(v):
    hexed = bytes.fromhex
    key = Key(hexed(v["Cluster"]), hexed(v["KeyID"]), v["Version"], v["Threshold"], v["Holders"], point(hexed(v["Y"])))
    check(key.delta == v["Delta"] and encode(key.W) == hexed(v["W"]), "Δ or W differs")
    context, raw = hexed(v["Context"]), hexed(v["Envelope"])
    envelope = Envelope(raw)
    shares = {i: scalar(hexed(x)) for i, x in enumerate(v["Shares"], 1)}

    # What a reader with t shares does.
    every = list(shares)
    for quorum in (every[: key.t], every[-key.t :]):
        partials = {i: mul(shares[i], envelope.u) for i in quorum}
        dek = key.open(envelope, context, partials)
        check(dek == hexed(v["DEK"]), "another data key came out")
    refused("a partial is missing", key.open, envelope, context, dict(list(partials.items())[1:]))
    last = quorum[-1]
    refused("a partial lies", key.open, envelope, context, partials | {last: add(partials[last], G)})
    factor = {i: num * pow(den, -1, q) % q for i, (num, den) in zip(quorum, lagrange(quorum))}
    rest = None
    for i in quorum[:-1]:
        rest = add(rest, mul(factor[i], partials[i]))
    cancelling = mul(-pow(factor[last], -1, q) % q, rest)
    refused("the partials cancel out", key.open, envelope, context, partials | {last: cancelling})
    refused("the context is another", key.open, envelope, context + b"x", partials)
    for at in 0, 1, 2, 34, 69, 100, 160, 210, 233, 245, len(raw) - 65, len(raw) - 33, len(raw) - 1:
        damaged = bytearray(raw)
        damaged[at] ^= 1
        refused("byte %d is damaged" % at, lambda: key.verify(Envelope(bytes(damaged)), context))

    # What makes one, and what else hangs on it.
    number = lambda name: scalar(hexed(v[name]))
    again = key.wrap(context, hexed(v["DEK"]), number("R"), number("S"), hexed(v["Nonce"]))
    check(again == raw, "the envelope comes out otherwise")
    check(H("envelope/hash", raw) == hexed(v["EnvelopeHash"]), "its hash differs")
    for i, proof in enumerate(v["ShareProofs"], 1):
        D_i = point(hexed(v["Partials"][i - 1]))
        check(D_i == mul(shares[i], envelope.u), "a partial differs")
        arguments = key, v["Epoch"], i, mul(shares[i], G), D_i, envelope, hexed(proof)
        check_share(*arguments)
        refused("the epoch is another", check_share, key, v["Epoch"] + 1, *arguments[2:])
        empty = hexed(proof)[:32] + (-scalar(hexed(proof)[:32]) * shares[i] % q).to_bytes(32, "big")
        refused("a commitment of the proof is the identity", check_share, *arguments[:-1], empty)
    endorsed = endorsement(hexed(v["EndorsementKey"]), v["Node"].encode(), key, context, envelope)
    check(endorsed == hexed(v["Endorsement"]), "the endorsement differs")
    return dek


def check_item(v):
    hexed = bytes.fromhex
    t, h, context, raw = v["Threshold"], v["Holders"], hexed(v["Context"]), hexed(v["Item"])
    keys = dict(zip(sets(t, h), map(hexed, v["SetKeys"]), strict=True))
    it = Item(raw)
    x = it.input(context)
    value = lambda S: hmac.digest(keys[S], x, "sha256")

    # What a reader with what t holders have does: each set once, of one of them.
    for quorum in itertools.combinations(range(1, h + 1), t):
        F = xor(value(S) for S in keys if set(members(S)) & set(quorum))
        dek = it.open(F)
        check(dek == hexed(v["Secret"]), "another data key came out")
    for few in itertools.combinations(range(1, h + 1), t - 1):
        refused("a holder is missing", it.open, xor(value(S) for S in keys if set(members(S)) & set(few)))
    refused("a holder lies", it.open, bytes([F[0] ^ 1]) + F[1:])
    other = it.input(context + b"x")
    refused("the context is another", it.open, xor(hmac.digest(k, other, "sha256") for k in keys.values()))
    for at in 0, 1, 2, 34, 69, 70, 103, 104, len(it.header), len(raw) - 17, len(raw) - 1:
        damaged = bytearray(raw)
        damaged[at] ^= 1

        def reopened():
            again = Item(bytes(damaged))
            again.open(xor(hmac.digest(k, again.input(context), "sha256") for k in keys.values()))

        refused("byte %d is damaged" % at, reopened)

    # What makes one, and what else hangs on it.
    rho, cluster, key_id, principal = hexed(v["Rho"]), hexed(v["Cluster"]), hexed(v["KeyID"]), v["Principal"].encode()
    header = item(cluster, key_id, v["Version"], principal, rho, dek)
    check(header == it.header and it.alpha == hexed(v["Alpha"]), "the header comes out otherwise")
    check([value(S).hex() for S in keys] == v["Values"] and F == hexed(v["Value"]), "a value differs")
    check(encrypt(header, F, rho, dek, hexed(v["Nonce"])) == raw, "the item comes out otherwise")
    check(H("item/hash", x) == hexed(v["ItemHash"]), "its hash differs")
    for S, kept in zip(keys, v["SetKeyHashes"], strict=True):
        check(H("set-key/hash", hexed(v["Session"]), u64(S), keys[S]) == hexed(kept), "the hash of a set key differs")
    return dek


def check_branch(v):
    hexed = bytes.fromhex
    t, h, raw = v["Threshold"], v["Holders"], hexed(v["Item"])
    pairs, whole = canonical(v["Named"]), canonical(v["Context"])
    check(pairs.hex() == v["NamedCanonical"] and whole.hex() == v["ContextCanonical"], "a context's canonical bytes differ")
    keys = dict(zip(sets(t, h), map(hexed, v["SetKeys"]), strict=True))
    it = BranchItem(raw)
    released = lambda x, quorum: xor(hmac.digest(keys[S], x, "sha256") for S in keys if set(members(S)) & set(quorum))
    for quorum in itertools.combinations(range(1, h + 1), t):
        B = released(it.branch(pairs), quorum)
        dek = it.open(B, whole)
        check(dek == hexed(v["Secret"]), "another data key came out")
    for few in itertools.combinations(range(1, h + 1), t - 1):
        refused("a holder is missing", it.open, released(it.branch(pairs), few), whole)
    refused("the context is another", it.open, B, whole + b"x")
    refused("the named pairs are others", it.open, released(it.branch(pairs + b"x"), quorum), whole)
    for at in 0, 1, 2, 34, 69, 70, 109, 113, 115, 116, len(it.header) - 1, len(it.header), len(raw) - 1:
        damaged = bytearray(raw)
        damaged[at] ^= 1

        def reopened():
            again = BranchItem(bytes(damaged))
            again.open(released(again.branch(pairs), quorum), whole)

        refused("byte %d is damaged" % at, reopened)

    rho, cluster, key_id, principal = hexed(v["Rho"]), hexed(v["Cluster"]), hexed(v["KeyID"]), v["Principal"].encode()
    names = sorted(n.encode() for n in v["Named"])
    header = branched(cluster, key_id, v["Version"], v["From"], v["Seconds"], principal, names, commitment(rho, dek))
    check(header == it.header and it.alpha == hexed(v["Alpha"]) and it.names == names, "the header comes out otherwise")
    check(B == hexed(v["BranchKey"]), "the branch key differs")
    again = header + seal(item_key(branch_item(B, whole, it.alpha), header), hexed(v["Nonce"]), rho + dek, tagged("item/aad", header))
    check(again == raw, "the item comes out otherwise")
    check(H("item/hash", it.branch(pairs)) == hexed(v["BranchHash"]), "the hash of its branch differs")
    return dek


def block(page, name):
    found = re.findall(r"^```json %s\n(.*?)^```$" % name, page, re.MULTILINE | re.DOTALL)
    check(len(found) == 1, "the page has no block %s, or several" % name)
    return json.loads(found[0])


def main():
    beside = os.path.join(os.path.dirname(os.path.abspath(__file__)), "envelope.md")
    with open(sys.argv[1] if len(sys.argv) > 1 else beside, encoding="utf-8") as f:
        page = f.read()
    constants = block(page, "constants")
    check(encode(G_BAR).hex() == constants["SecondGenerator"], "the second generator differs")
    for c in constants["Contexts"]:
        check(canonical(c["Pairs"]).hex() == c["Canonical"], "a context's canonical bytes differ")
    vectors, items, branches = block(page, "vectors"), block(page, "symmetric"), block(page, "branches")
    for v in items:  # they take no time
        print("symmetric, %s: opened, %s" % (v["Name"], check_item(v).hex()))
    for v in branches:
        print("branch, %s: opened, %s" % (v["Name"], check_branch(v).hex()))
    for v in vectors:
        print("%s: opened, %s" % (v["Name"], check_vector(v).hex()))
    symmetric = len(items) + len(branches)
    print("%d envelopes opened, %d of them of symmetric keys" % (len(vectors) + symmetric, symmetric))


if __name__ == "__main__":
    main()
