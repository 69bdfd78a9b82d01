/* A milter over the real libmilter that does what a script says, and writes down what it is told.

   scripted_milter SOCKET SCRIPT LOG

   Lines of the script: "negotiate HEX" sets bits of the protocol (SMFIP_...), "symbols STAGE NAMES" asks for macros,
   "STEP ANSWER [TEXT]" answers a step: connect, helo, from ADDRESS, rcpt ADDRESS, data, header NAME, eoh, body, eom; an answer is
   continue, accept, reject, tempfail, discard, skip, or "reply CODE ENHANCED TEXT". Other lines are done at the end of
   the message, in their order: addheader NAME VALUE, insheader PLACE NAME VALUE, chgheader PLACE NAME [VALUE],
   chgfrom, addrcpt, addrcpt_par, delrcpt ADDRESS, replbody TEXT, quarantine TEXT, progress, sleep SECONDS.
   In a VALUE or TEXT "|" stands for a line feed. */

#include <arpa/inet.h>
#include <libmilter/mfapi.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINES 64
static char *lines[LINES];
static int count;
static FILE *written;
static int quiet;

static void say(const char *step, const char *one, const char *two)
{
    if (quiet)
        return;
    flockfile(written);
    fprintf(written, "%s", step);
    for (int i = 0; i < 2; i++) {
        const char *text = i ? two : one;
        if (text)
            putc(' ', written);
        for (; text && *text; text++)
            putc(*text == '\n' ? '|' : *text, written);
    }
    putc('\n', written);
    fflush(written);
    funlockfile(written);
}

/* What follows the words in a line of the script that begins with them. */
static char *rest_of(const char *line, const char *words)
{
    size_t length = strlen(words);
    if (strncmp(line, words, length) || (line[length] && line[length] != ' '))
        return NULL;
    return (char *)line + length + (line[length] == ' ');
}

static sfsistat answer(SMFICTX *ctx, const char *step)
{
    for (int i = 0; i < count; i++) {
        char *said = rest_of(lines[i], step);
        if (!said)
            continue;
        if (!strcmp(said, "accept"))
            return SMFIS_ACCEPT;
        if (!strcmp(said, "reject"))
            return SMFIS_REJECT;
        if (!strcmp(said, "tempfail"))
            return SMFIS_TEMPFAIL;
        if (!strcmp(said, "discard"))
            return SMFIS_DISCARD;
        if (!strcmp(said, "skip"))
            return SMFIS_SKIP;
        if (!strncmp(said, "reply ", 6)) {
            char *copy = strdup(said + 6), *place;
            char *code = strtok_r(copy, " ", &place), *enhanced = strtok_r(NULL, " ", &place);
            if (smfi_setreply(ctx, code, enhanced, place) != MI_SUCCESS)
                say("error setreply", said, NULL);
            sfsistat result = *code == '5' ? SMFIS_REJECT : SMFIS_TEMPFAIL;
            free(copy);
            return result;
        }
    }
    return SMFIS_CONTINUE;
}

static sfsistat quietly(SMFICTX *ctx, const char *step, sfsistat silent)
{
    sfsistat said = answer(ctx, step);
    return said == SMFIS_CONTINUE ? silent : said;
}

static unsigned long silent_steps;
#define NR(bit) ((silent_steps & (bit)) ? SMFIS_NOREPLY : SMFIS_CONTINUE)

static void macros(SMFICTX *ctx, const char *step)
{
    static const char *names[] = {"j", "{daemon_name}", "v", "_", "{client_name}", "{client_addr}", "{client_ptr}",
        "{tls_version}", "{cipher}", "{cipher_bits}", "i", "{auth_type}", "{auth_authen}", "{mail_addr}", "{mail_host}",
        "{mail_mailer}", "{rcpt_addr}", "{rcpt_host}", "{rcpt_mailer}", "{msg_id}"};
    char title[64];
    for (size_t i = 0; !quiet && i < sizeof names / sizeof *names; i++) {
        char *value = smfi_getsymval(ctx, (char *)names[i]);
        snprintf(title, sizeof title, "macro %s %s", step, names[i]);
        if (value)
            say(title, value, NULL);
    }
}

static sfsistat on_connect(SMFICTX *ctx, char *name, _SOCK_ADDR *address)
{
    char text[80] = "?";
    if (address && address->sa_family == AF_INET)
        inet_ntop(AF_INET, &((struct sockaddr_in *)address)->sin_addr, text, sizeof text);
    if (address && address->sa_family == AF_INET6)
        inet_ntop(AF_INET6, &((struct sockaddr_in6 *)address)->sin6_addr, text, sizeof text);
    say("connect", name, text);
    macros(ctx, "connect");
    return quietly(ctx, "connect", NR(SMFIP_NR_CONN));
}

static sfsistat on_helo(SMFICTX *ctx, char *name)
{
    say("helo", name, NULL);
    return quietly(ctx, "helo", NR(SMFIP_NR_HELO));
}

static sfsistat on_path(SMFICTX *ctx, char **path, const char *step, sfsistat silent)
{
    char asked[1024];
    for (int i = 0; path[i]; i++)
        say(i ? "parameter" : step, path[i], NULL);
    snprintf(asked, sizeof asked, "%s %s", step, path[0]);
    return quietly(ctx, asked, silent);
}

static sfsistat on_from(SMFICTX *ctx, char **path) { return on_path(ctx, path, "from", NR(SMFIP_NR_MAIL)); }

static sfsistat on_rcpt(SMFICTX *ctx, char **path) { return on_path(ctx, path, "rcpt", NR(SMFIP_NR_RCPT)); }

static sfsistat on_data(SMFICTX *ctx)
{
    say("data", NULL, NULL);
    return quietly(ctx, "data", NR(SMFIP_NR_DATA));
}

static sfsistat on_header(SMFICTX *ctx, char *name, char *value)
{
    char step[256];
    say("header", name, value);
    snprintf(step, sizeof step, "header %s", name);
    return quietly(ctx, step, NR(SMFIP_NR_HDR));
}

static sfsistat on_eoh(SMFICTX *ctx)
{
    say("eoh", NULL, NULL);
    return quietly(ctx, "eoh", NR(SMFIP_NR_EOH));
}

static sfsistat on_body(SMFICTX *ctx, unsigned char *octets, size_t length)
{
    char text[32];
    (void)octets;
    snprintf(text, sizeof text, "%zu", length);
    say("body", text, NULL);
    return quietly(ctx, "body", NR(SMFIP_NR_BODY));
}

static void change(SMFICTX *ctx, char *line)
{
    char *copy = strdup(line), *place, *verb = strtok_r(copy, " ", &place), *one, *two;
    int result = MI_SUCCESS;
    for (char *c = place; c && *c; c++)
        if (*c == '|')
            *c = '\n';
    if (!strcmp(verb, "addheader")) {
        one = strtok_r(NULL, " ", &place);
        result = smfi_addheader(ctx, one, place);
    } else if (!strcmp(verb, "insheader") || !strcmp(verb, "chgheader")) {
        one = strtok_r(NULL, " ", &place);
        two = strtok_r(NULL, " ", &place);
        result = *verb == 'i' ? smfi_insheader(ctx, atoi(one), two, place)
                              : smfi_chgheader(ctx, two, atoi(one), place && *place ? place : NULL);
    } else if (!strcmp(verb, "chgfrom"))
        result = smfi_chgfrom(ctx, place, NULL);
    else if (!strcmp(verb, "addrcpt"))
        result = smfi_addrcpt(ctx, place);
    else if (!strcmp(verb, "addrcpt_par")) {
        one = strtok_r(NULL, " ", &place);
        result = smfi_addrcpt_par(ctx, one, place);
    } else if (!strcmp(verb, "delrcpt"))
        result = smfi_delrcpt(ctx, place);
    else if (!strcmp(verb, "replbody"))
        result = smfi_replacebody(ctx, (unsigned char *)place, strlen(place));
    else if (!strcmp(verb, "quarantine"))
        result = smfi_quarantine(ctx, place);
    else if (!strcmp(verb, "progress"))
        result = smfi_progress(ctx);
    else if (!strcmp(verb, "sleep"))
        sleep(atoi(place));
    if (result != MI_SUCCESS)
        say("error", line, NULL);
    free(copy);
}

static sfsistat on_eom(SMFICTX *ctx)
{
    say("eom", NULL, NULL);
    macros(ctx, "eom");
    for (int i = 0; i < count; i++)
        change(ctx, lines[i]);
    return answer(ctx, "eom");
}

static sfsistat on_abort(SMFICTX *ctx)
{
    (void)ctx;
    say("abort", NULL, NULL);
    return SMFIS_CONTINUE;
}

static sfsistat on_close(SMFICTX *ctx)
{
    (void)ctx;
    say("close", NULL, NULL);
    return SMFIS_CONTINUE;
}

static sfsistat on_negotiate(SMFICTX *ctx, unsigned long actions, unsigned long steps, unsigned long f2,
    unsigned long f3, unsigned long *wanted_actions, unsigned long *wanted_steps, unsigned long *w2, unsigned long *w3)
{
    (void)f2;
    (void)f3;
    *wanted_actions = actions & (SMFIF_ADDHDRS | SMFIF_CHGBODY | SMFIF_ADDRCPT | SMFIF_DELRCPT | SMFIF_CHGHDRS |
                                    SMFIF_QUARANTINE | SMFIF_CHGFROM | SMFIF_ADDRCPT_PAR | SMFIF_SETSYMLIST);
    *wanted_steps = 0;
    *w2 = *w3 = 0;
    say("negotiate", NULL, NULL);
    for (int i = 0; i < count; i++) {
        char *said = rest_of(lines[i], "negotiate");
        if (said)
            *wanted_steps |= strtoul(said, NULL, 16) & steps;
        if ((said = rest_of(lines[i], "symbols")))
            smfi_setsymlist(ctx, atoi(said), strchr(said, ' ') + 1);
    }
    silent_steps = *wanted_steps;
    return SMFIS_CONTINUE;
}

int main(int argc, char **argv)
{
    char line[4096];
    FILE *script = argc == 4 ? fopen(argv[2], "r") : NULL;
    if (!script || !(written = fopen(argv[3], "a")))
        return 2;
    quiet = !strcmp(argv[3], "/dev/null");
    while (count < LINES && fgets(line, sizeof line, script)) {
        line[strcspn(line, "\n")] = 0;
        if (*line)
            lines[count++] = strdup(line);
    }
    struct smfiDesc filter = {"scripted", SMFI_VERSION, 0x1ff, on_connect, on_helo, on_from, on_rcpt, on_header, on_eoh,
        on_body, on_eom, on_abort, on_close, NULL, on_data, on_negotiate};
    if (smfi_register(filter) != MI_SUCCESS || smfi_setconn(argv[1]) != MI_SUCCESS)
        return 2;
    return smfi_main() == MI_SUCCESS ? 0 : 1;
}
