// A small SMTP server on loopback that keeps what it gets. It speaks as much of RFC 5321 as a client needs to send, can ask
// for AUTH PLAIN, and can be told to refuse.

import { createServer, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';

export interface ReceivedMail {
  readonly from: string;
  readonly to: readonly string[];
  /** Headers and body as sent, dots unstuffed. */
  readonly text: string;
  /** The subject, decoded. */
  readonly subject: string;
  /** The body, decoded. */
  readonly body: string;
  /** User and password given by AUTH PLAIN. */
  readonly auth: { readonly user: string; readonly password: string } | undefined;
}

export interface MailSink extends AsyncDisposable {
  readonly port: number;
  readonly mails: readonly ReceivedMail[];
  /** Answers every recipient with 550 while true. */
  refuse: boolean;
}

/** RFC 2047 encoded words, as nodemailer writes them. */
function decodeWords(text: string): string {
  return text
    .replaceAll(/\?=\s+=\?/g, '?==?')
    .replaceAll(/=\?utf-8\?([QB])\?([^?]*)\?=/gi, (_, kind: string, word: string) =>
      kind.toUpperCase() === 'B'
        ? Buffer.from(word, 'base64').toString('utf8')
        : decodeQuoted(word.replaceAll('_', ' ')),
    );
}

/** RFC 2045 quoted-printable. */
function decodeQuoted(text: string): string {
  const bytes = text
    .replaceAll(/=\r?\n/g, '')
    .replaceAll(/=([0-9A-F]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(bytes, 'latin1').toString('utf8');
}

function parseMail(envelope: { from: string; to: string[]; auth: ReceivedMail['auth'] }, text: string): ReceivedMail {
  const end = text.indexOf('\r\n\r\n');
  const headers = text.slice(0, end).replaceAll(/\r\n[ \t]+/g, ' ');
  const header = (name: string): string => new RegExp(`^${name}: (.*)$`, 'im').exec(headers)?.[1] ?? '';
  const raw = text.slice(end + 4);
  const encoding = header('Content-Transfer-Encoding').toLowerCase();
  const body =
    encoding === 'base64'
      ? Buffer.from(raw, 'base64').toString('utf8')
      : encoding === 'quoted-printable'
        ? decodeQuoted(raw)
        : raw;
  return { ...envelope, text, subject: decodeWords(header('Subject')), body: body.replaceAll('\r\n', '\n') };
}

function serve(socket: Socket, sink: { refuse: boolean; mails: ReceivedMail[] }): void {
  let envelope = { from: '', to: [] as string[], auth: undefined as ReceivedMail['auth'] };
  let buffer = '';
  let isData = false;
  const answer = (line: string): void => void socket.write(`${line}\r\n`);

  const command = (line: string): void => {
    const verb = line.slice(0, 4).toUpperCase();
    if (verb === 'EHLO') answer('250-sink\r\n250-AUTH PLAIN\r\n250 8BITMIME');
    else if (verb === 'AUTH') {
      const [, user = '', password = ''] = Buffer.from(line.split(' ')[2] ?? '', 'base64')
        .toString()
        .split('\0');
      envelope.auth = { user, password };
      answer('235 ok');
    } else if (verb === 'MAIL') {
      envelope = { ...envelope, from: /<(.*?)>/.exec(line)?.[1] ?? '', to: [] };
      answer('250 ok');
    } else if (verb === 'RCPT') {
      if (sink.refuse) return answer('550 no such mailbox');
      envelope.to.push(/<(.*?)>/.exec(line)?.[1] ?? '');
      answer('250 ok');
    } else if (verb === 'DATA') {
      isData = true;
      answer('354 go on');
    } else if (verb === 'QUIT') {
      answer('221 bye');
      socket.end();
    } else if (verb === 'RSET' || verb === 'NOOP') answer('250 ok');
    else answer('502 not here');
  };

  const consume = (): boolean => {
    const end = buffer.indexOf(isData ? '\r\n.\r\n' : '\r\n');
    if (end < 0) return false;
    const text = buffer.slice(0, end);
    buffer = buffer.slice(end + (isData ? 5 : 2));
    if (isData) {
      isData = false;
      sink.mails.push(parseMail(envelope, text.replaceAll('\r\n..', '\r\n.')));
      answer('250 taken');
    } else command(text);
    return true;
  };

  socket.setEncoding('utf8');
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk: string) => {
    buffer += chunk;
    while (consume());
  });
  answer('220 sink');
}

/** Starts the server on a free port of 127.0.0.1. */
export async function startMailSink(): Promise<MailSink> {
  const state = { refuse: false, mails: [] as ReceivedMail[] };
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    serve(socket, state);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    mails: state.mails,
    get refuse() {
      return state.refuse;
    },
    set refuse(value) {
      state.refuse = value;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
    },
  };
}
