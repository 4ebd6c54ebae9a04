//! What the scripts say.
//!
//! Each names its keys, which are of one slot. What a server says about a command within is handed on
//! as it is, by `pcall`: older servers would hide its first word.
//!
//! None returns bytes of users alone: in a cluster fred would follow those that look like a redirection. Nor does
//! a list of three, four or five start with them: it might look like news of a channel.

/// A script and its name on the server, which is its SHA-1.
pub(in crate::client) struct Script {
    pub(super) source: &'static str,
    pub(super) sha1: &'static str,
}

/// Puts what knows the caller's own placeholder in front of a script.
macro_rules! script_of_holder {
    ($sha1:literal, $($line:literal)+) => {
        Script {
            source: concat!(
                "local function is_mine() \
                 return redis.pcall('GETRANGE', KEYS[1], 0, 40) == ARGV[1] end ",
                $($line, " "),+
            ),
            sha1: $sha1,
        }
    };
}

/// Puts what knows a placeholder, and cuts the header from a value with tags, in front of a script;
/// see [`crate::placeholder`] and [`crate::tagged`].
macro_rules! script {
    ($sha1:literal, $($line:literal)+) => {
        Script {
            source: concat!(
                "local function start(k) return redis.pcall('GETRANGE', k, 0, 40) end \
                 local function is_lease(v) return type(v) == 'string' and #v == 40 \
                 and string.sub(v, 1, 8) == '\\193\\0lease\\1' end \
                 local function is_tagged(v) return type(v) == 'string' \
                 and string.sub(v, 1, 8) == '\\193\\0tags\\0\\1' end \
                 local function header(k, v) \
                 if not is_tagged(v) or #v < 12 then return nil end \
                 local a, b, c, d = string.byte(v, 9, 12) \
                 local n = ((a * 256 + b) * 256 + c) * 256 + d \
                 if n < 12 or n > 4194304 then return nil end \
                 if n > #v then v = redis.call('GETRANGE', k, 0, n - 1) end \
                 if #v < n then return nil end \
                 return string.sub(v, 1, n) end ",
                $($line, " "),+
            ),
            sha1: $sha1,
        }
    };
}

/// Reads a value and the time it has left as of one moment: a value that is read beside the time of its
/// successor would outlive its own.
pub(super) const GET_WITH_TTL: Script = Script {
    source: "local v = redis.pcall('GET', KEYS[1]) \
             if type(v) ~= 'string' then return v end \
             return {redis.call('PTTL', KEYS[1]), v}",
    sha1: "fd71935fd3baa0ed83c56081a5a92fe9fd54a497",
};

/// Reads many values and the time each has left as of one moment.
pub(in crate::client) const GET_MANY_WITH_TTL: Script = Script {
    source: "local found, answer = redis.call('MGET', unpack(KEYS)), {} \
             for i = 1, #KEYS do \
             answer[i] = found[i] and redis.call('PTTL', KEYS[i]) or -2 \
             answer[#KEYS + i] = found[i] end \
             return answer",
    sha1: "51f0988903d34ae512d49997f12ed91bad0bc4c2",
};

/// Writes all pairs with one time to live, in milliseconds.
pub(in crate::client) const SET_MANY: Script = Script {
    source: "for i = 1, #KEYS do redis.call('SET', KEYS[i], ARGV[i + 1], 'PX', ARGV[1]) end",
    sha1: "97239754ecc9775aabeb6934d7e7f3ff8be0a8d4",
};

/// Writes pairs, each with its time to live in milliseconds or, where that is empty, none.
pub(in crate::client) const SET_EACH: Script = Script {
    source: "for i = 1, #KEYS do local px = ARGV[i * 2] \
             if px == '' then redis.call('SET', KEYS[i], ARGV[i * 2 - 1]) \
             else redis.call('SET', KEYS[i], ARGV[i * 2 - 1], 'PX', px) end end",
    sha1: "2f3e21530f02636e3e8e06bc5608dddb6685e169",
};

/// Removes keys and counts those that held more than a lease, a repeated one once. If there were
/// values with tags, their headers follow the number.
pub(super) const UNLINK: Script = script!(
    "6f33286e3735b15adbe9e00dd039451b80f4b3aa",
    "local seen, leases, found = {}, 0, {}"
    "for i = 1, #KEYS do local k = KEYS[i]"
    "if not seen[k] then local v = start(k) local h = header(k, v)"
    "if is_lease(v) then seen[k] = true leases = leases + 1"
    "elseif h then seen[k] = true found[#found + 1] = h end end end"
    "local n = redis.pcall('UNLINK', unpack(KEYS))"
    "if type(n) == 'table' then return n end"
    "if #found == 0 then return n - leases end"
    "table.insert(found, 1, n - leases)"
    "return found"
);

/// Tells which keys hold a lease: their places; and which a value with tags: places and headers.
pub(super) const MARKED: Script = script!(
    "716147322321979d0a7a76cc4d8a56c9fea850fd",
    "local found = {}"
    "for i = 1, #KEYS do local v = start(KEYS[i]) local h = header(KEYS[i], v)"
    "if is_lease(v) then found[#found + 1] = i - 1"
    "elseif h then found[#found + 1] = {i - 1, h} end end"
    "return found"
);

/// Tells the time that is left, with the header of a value with tags.
pub(super) const PTTL: Script = script!(
    "106d51248da3fceef6542afe095ba3826f75ef9b",
    "local v = start(KEYS[1])"
    "if is_lease(v) then return -2 end"
    "local left, h = redis.pcall('PTTL', KEYS[1]), header(KEYS[1], v)"
    "if h and type(left) == 'number' then return {left, h} end"
    "return left"
);

/// Changes the time that is left. Of a value with tags it does so only if its header is the one that
/// the caller has looked at, and returns it otherwise.
pub(super) const SET_EXPIRY: Script = script!(
    "f44b7ad77f9185251da0e753fd891e654b49a4e6",
    "local v = start(KEYS[1])"
    "if is_lease(v) then return 0 end"
    "local h = header(KEYS[1], v)"
    "if h and h ~= ARGV[1] then return h end"
    "if ARGV[2] then return redis.pcall('PEXPIRE', KEYS[1], ARGV[2]) end"
    "return redis.pcall('PERSIST', KEYS[1])"
);

/// Sets a value on a condition: `NX`, `XX` or none. A value with tags is replaced if its header is the one
/// of which the caller knows that the condition holds. Any other is returned, in a list. What is there
/// keeps its time if the last argument says so.
pub(super) const SET_IF: Script = script!(
    "02c42712902b573328849f0c39f7080b18e51267",
    "local command = {'SET', KEYS[1], ARGV[1]}"
    "local v = start(KEYS[1])"
    "if is_lease(v) then if ARGV[2] == 'XX' then return false end"
    "else local h = header(KEYS[1], v)"
    "if not h then if ARGV[2] ~= '' then command[4] = ARGV[2] end"
    "elseif h ~= ARGV[3] then return {h} end end"
    "if ARGV[5] == '1' and not is_lease(v) and redis.call('PTTL', KEYS[1]) > -2"
    "then command[#command + 1] = 'KEEPTTL'"
    "elseif ARGV[4] ~= '' then command[#command + 1] = 'PX' command[#command + 1] = ARGV[4] end"
    "return redis.pcall(unpack(command))"
);

/// Sets a value in the place of the one that is its second argument, with the time of the third or
/// that of the old one.
pub(super) const SET_IF_EQUAL: Script = Script {
    source: "local v = redis.pcall('GET', KEYS[1]) \
             if type(v) == 'table' and not string.find(v.err, 'WRONGTYPE', 1, true) then return v end \
             if v ~= ARGV[2] then return false end \
             if ARGV[4] == '1' then return redis.pcall('SET', KEYS[1], ARGV[1], 'KEEPTTL') end \
             if ARGV[3] ~= '' then return redis.pcall('SET', KEYS[1], ARGV[1], 'PX', ARGV[3]) end \
             return redis.pcall('SET', KEYS[1], ARGV[1])",
    sha1: "4f5de479d93f6dee73721d4c0a796f12ff5961b1",
};

/// Removes a value if it is the argument.
pub(super) const UNLINK_IF_EQUAL: Script = Script {
    source: "local v = redis.pcall('GET', KEYS[1]) \
             if type(v) == 'table' and not string.find(v.err, 'WRONGTYPE', 1, true) then return v end \
             if v ~= ARGV[1] then return 0 end \
             return redis.pcall('UNLINK', KEYS[1])",
    sha1: "c09b1a6163ceb19a0b8bb87a1a6e0f628e42f296",
};

/// Removes a value, or a lease, and returns it, in a list. A script, as `GETDEL` would be one more command to
/// permit.
pub(super) const TAKE: Script = Script {
    source: "local v = redis.pcall('GET', KEYS[1]) \
             if type(v) ~= 'string' then return v end \
             local gone = redis.pcall('UNLINK', KEYS[1]) \
             if type(gone) == 'table' then return gone end \
             return {v}",
    sha1: "55b9322274d399dde993c195e2e8e382c906cae2",
};

/// Writes a value and returns the one that was there, in a list.
pub(super) const SWAP: Script = Script {
    source: "local v = redis.pcall('GET', KEYS[1]) \
             if type(v) == 'table' then return v end \
             local set \
             if ARGV[2] then set = redis.pcall('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) \
             else set = redis.pcall('SET', KEYS[1], ARGV[1]) end \
             if set.err then return set end \
             return {v}",
    sha1: "a6b1721c6b7a9c2414a8b8eeea8e53650fcea8f9",
};

/// Returns a value, in a list, and changes the time that it has left. Of a value with tags it does so only if
/// its header is the one that the caller has looked at, and returns that, behind a number, otherwise.
pub(super) const GET_EX: Script = script!(
    "00eeb15e2463dab03d97775ee3fe147e7b0135a2",
    "local v = start(KEYS[1])"
    "if is_lease(v) then return false end"
    "local h = header(KEYS[1], v)"
    "if h and h ~= ARGV[1] then return {0, h} end"
    "v = redis.pcall('GET', KEYS[1])"
    "if type(v) ~= 'string' then return v end"
    "local set"
    "if ARGV[2] then set = redis.pcall('PEXPIRE', KEYS[1], ARGV[2])"
    "else set = redis.pcall('PERSIST', KEYS[1]) end"
    "if type(set) == 'table' then return set end"
    "return {v}"
);

/// Finds a value, or takes a lease with a token above those of the past: of the clock, of the caller
/// and, if there is a second key, of the one that is kept there. A value with tags is none if it
/// cannot be read or has the header of which the caller knows that it is over.
pub(super) const CLAIM: Script = script!(
    "3f124464e982a73763c7bb22af40d4452258fe8b",
    "local v = redis.pcall('GET', KEYS[1])"
    "if type(v) == 'table' and not string.find(v.err, 'WRONGTYPE', 1, true) then return v end"
    "if is_lease(v) then local left = redis.call('PTTL', KEYS[1])"
    "if left >= 0 then return {0, left, v} end"
    "elseif is_tagged(v) then local h = header(KEYS[1], v)"
    "if h and h ~= ARGV[5] and #v - #h <= tonumber(ARGV[4]) then return {1, v} end"
    "elseif type(v) == 'string' and #v <= tonumber(ARGV[4]) then return {1, v} end"
    "local now = redis.call('TIME')"
    "local token = math.max(now[1] * 1000000 + now[2], ARGV[3] + 1)"
    "if KEYS[2] then local last = redis.call('GET', KEYS[2])"
    "token = math.max(token, (tonumber(last or 0) or 0) + 1) end"
    "token = string.format('%016.0f', token)"
    "local set = redis.pcall('SET', KEYS[1], '\\193\\0lease\\1' .. token .. ARGV[2], 'PX', ARGV[1])"
    "if set.err then return set end"
    "if KEYS[2] then redis.call('SET', KEYS[2], token, 'PX', ARGV[6]) end"
    "return {2, token}"
);

pub(super) const EXTEND: Script = script_of_holder!(
    "e6d2853c86ecf942788e96fa4aa636ad3218f43f",
    "if is_mine() then return redis.pcall('PEXPIRE', KEYS[1], ARGV[2]) end"
    "return 0"
);

/// Puts a value in the place of a lease. Those who wait are told even if it was lost: the load has
/// ended.
pub(super) const FILL: Script = script_of_holder!(
    "de4e4ab664a4d39779530754593fe52d9ecf08da",
    "local mine = is_mine()"
    "if mine then local command = {'SET', KEYS[1], ARGV[4]}"
    "if ARGV[5] then command[4] = 'PX' command[5] = ARGV[5] end"
    "local set = redis.pcall(unpack(command))"
    "if set.err then return set end end"
    "redis.pcall('PUBLISH', ARGV[2], ARGV[3])"
    "return mine and 1 or 0"
);

pub(super) const RELEASE: Script = script_of_holder!(
    "90ca03951fe0f4d2cb50c79d428e1196cff3cadd",
    "local gone = 0"
    "if is_mine() then gone = redis.pcall('UNLINK', KEYS[1]) end"
    "if ARGV[2] then redis.pcall('PUBLISH', ARGV[2], ARGV[3]) end"
    "return gone"
);

/// Removes a value, whatever tags it has.
pub(super) const DISCARD: Script = script!(
    "4e9f12f1ee96524720da65a1db790fc18479e41f",
    "local v = redis.pcall('GET', KEYS[1])"
    "local h = header(KEYS[1], v)"
    "if v == ARGV[1] or h and string.sub(v, #h + 1) == ARGV[1] then"
    "return redis.pcall('UNLINK', KEYS[1]) end"
    "return 0"
);

/// Returns, in a list, the version of a tag, which lasts for at least the time of the second argument, or for ever
/// if there is none. What would end before is given the time of the third. Nothing else is changed:
/// each change has caches in memory drop what has the tag. A tag without a version gets the first
/// argument, unless that is empty.
pub(super) const VERSION: Script = Script {
    source: "local v = redis.pcall('GET', KEYS[1]) \
             if type(v) == 'table' and not string.find(v.err, 'WRONGTYPE', 1, true) then return v end \
             if type(v) == 'string' and #v == 8 and v ~= '\\0\\0\\0\\0\\0\\0\\0\\0' then \
             local left = redis.call('PTTL', KEYS[1]) \
             if left >= 0 then local kept = 1 \
             if not ARGV[2] then kept = redis.pcall('PERSIST', KEYS[1]) \
             elseif left < tonumber(ARGV[2]) then kept = redis.pcall('PEXPIRE', KEYS[1], ARGV[3]) end \
             if type(kept) == 'table' then return kept end end \
             return {v} end \
             if ARGV[1] == '' then return false end \
             local command = {'SET', KEYS[1], ARGV[1]} \
             if ARGV[3] then command[4] = 'PX' command[5] = ARGV[3] end \
             local set = redis.pcall(unpack(command)) \
             if set.err then return set end \
             return {ARGV[1]}",
    sha1: "e803fdbc0cccf0fade46a4241e38028869a587b0",
};

/// Returns, in a list, what a key holds that is as long as the argument, and puts the argument there if it
/// holds no such thing.
pub(super) const GET_OR_SET: Script = Script {
    source: "local v = redis.pcall('GET', KEYS[1]) \
             if type(v) == 'table' and not string.find(v.err, 'WRONGTYPE', 1, true) then return v end \
             if type(v) == 'string' and #v == #ARGV[1] then return {v} end \
             local set = redis.pcall('SET', KEYS[1], ARGV[1]) \
             if set.err then return set end \
             return {ARGV[1]}",
    sha1: "bbd8dbe389eb384fe300fb7cdca4b54209cb4d85",
};

/// Overwrites parts of what a key holds: each argument at the place in front of it. If that cannot be,
/// as no memory is left or as something else is there, the key is removed.
pub(super) const OVERWRITE: Script = Script {
    source: "local last = redis.pcall('GETRANGE', KEYS[1], ARGV[1] - 1, ARGV[1]) \
             if last == '' then return 0 end \
             local is_whole = type(last) == 'string' and #last == 1 \
             for i = 2, #ARGV, 2 do \
             if is_whole then is_whole = type(redis.pcall('SETRANGE', KEYS[1], ARGV[i], ARGV[i + 1])) \
             == 'number' end end \
             if is_whole then return 1 end \
             return redis.pcall('UNLINK', KEYS[1])",
    sha1: "ed061ff68d2b058790a5c4605dd0c8c7c621dc93",
};

/// Adds to numbers: to each of the keys the first of its two arguments. One that is not there begins, with
/// the second as its time unless that is empty. It answers with two for each: the time that is left and the
/// number; -3 and what would be further from zero than 2^53 - 1, and was taken back; -4 and an error.
pub(super) const COUNT: Script = Script {
    source: "local answer = {} \
             for i = 1, #KEYS do local key, by, px = KEYS[i], ARGV[2 * i - 1], ARGV[2 * i] \
             local left, n = redis.pcall('PTTL', key) \
             if left == -2 then \
             if px == '' then n = redis.pcall('SET', key, by) \
             else n = redis.pcall('SET', key, by, 'PX', px) end \
             if not n.err then left = tonumber(px) or -1 n = tonumber(by) end \
             elseif type(left) == 'table' then n = left \
             else n = redis.pcall('INCRBY', key, by) \
             if type(n) == 'number' and (n > 9007199254740991 or n < -9007199254740991) then \
             redis.call('INCRBY', key, -by) left = -3 end end \
             if type(n) == 'table' then left = -4 n = n.err end \
             answer[2 * i - 1] = left answer[2 * i] = n end \
             return answer",
    sha1: "e014a60c0d95606175065e5f19e7e946a54db3a4",
};

#[cfg(test)]
pub(super) const ALL: [Script; 23] = [
    GET_WITH_TTL,
    GET_MANY_WITH_TTL,
    SET_MANY,
    SET_EACH,
    UNLINK,
    MARKED,
    PTTL,
    SET_EXPIRY,
    SET_IF,
    SET_IF_EQUAL,
    UNLINK_IF_EQUAL,
    TAKE,
    SWAP,
    GET_EX,
    CLAIM,
    EXTEND,
    FILL,
    RELEASE,
    DISCARD,
    VERSION,
    GET_OR_SET,
    OVERWRITE,
    COUNT,
];
