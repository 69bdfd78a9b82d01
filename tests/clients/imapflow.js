// What a web mail client does, by ImapFlow: node imapflow.js PORT USER PASSWORD; NODE_PATH leads to its modules.
const assert = require('node:assert/strict');
const { ImapFlow } = require('imapflow');

const [port, user, pass] = process.argv.slice(2);
const settings = { host: 'localhost', port, secure: true, auth: { user, pass }, logger: false };

async function main() {
    const client = new ImapFlow({ ...settings, qresync: true });
    await client.connect();
    assert.ok(client.enabled.has('CONDSTORE'));
    assert.equal((await client.list()).find((folder) => folder.specialUse === '\\Sent').path, 'Sent');
    const listed = await client.list({ statusQuery: { messages: true, unseen: true } });
    assert.deepEqual(listed.find((folder) => folder.path === 'INBOX').status.messages, 2);
    await client.mailboxCreate(['Grüße', 'Küsse']);

    const lock = await client.getMailboxLock('INBOX');
    const subjects = [];
    for await (const message of client.fetch('1:*', { envelope: true, bodyStructure: true, flags: true, source: true })) {
        subjects.push(message.envelope.subject);
        assert.equal(message.bodyStructure.type, 'text/plain');
        assert.ok(message.source.includes('Subject: ' + message.envelope.subject));
    }
    assert.deepEqual(subjects, ['first', 'second']);
    const { content } = await client.download('1', '1');
    let text = '';
    for await (const piece of content) text += piece;
    assert.equal(text, '.dot\r\n..dots\r\n');

    const exists = new Promise((resolve) => client.on('exists', resolve));
    const idle = client.idle();
    const other = new ImapFlow({ ...settings, disableAutoEnable: true });
    await other.connect();
    const appended = await other.append('INBOX', 'Subject: third\r\n\r\nHello.\r\n', ['\\Seen'], new Date());
    assert.equal(appended.uid, 3);
    assert.equal((await exists).count, 3);

    const flags = new Promise((resolve) => client.on('flags', resolve));
    const again = client.idle();
    await other.mailboxOpen('INBOX');
    await other.messageFlagsAdd('2', ['\\Flagged', '$Work']);
    const changed = await flags;
    assert.deepEqual([changed.seq, [...changed.flags].sort()], [2, ['$Work', '\\Flagged']]);

    const expunged = new Promise((resolve) => client.on('expunge', resolve));
    const last = client.idle();
    assert.deepEqual([...(await other.messageMove('1', 'Grüße/Küsse')).uidMap], [[1, 1]]);
    const gone = await expunged;
    assert.deepEqual([gone.uid, gone.vanished], [1, true]);
    await other.logout();

    assert.deepEqual(await client.search({ header: { subject: 'third' } }, { uid: true }), [3]);
    assert.deepEqual(await client.search({ keyword: '$Work' }), [1]);
    await client.messageDelete({ uid: '3' });
    lock.release();
    assert.equal((await client.status('INBOX', { messages: true })).messages, 1);
    await client.mailboxRename(['Grüße', 'Küsse'], 'Küsse');
    await client.mailboxDelete('Grüße');
    const kept = await client.mailboxOpen('Küsse', { readOnly: true });
    assert.deepEqual([kept.exists, kept.readOnly], [1, true]);
    await client.logout();
    await Promise.allSettled([idle, again, last]);
}

main().then(() => console.log('done'), (error) => {
    console.error(error);
    process.exit(1);
});
