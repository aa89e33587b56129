// Sends plain-text e-mail over SMTP. STARTTLS is required when chosen: nothing is sent in the clear to a server that
// cannot do it.

import { AppError, messageOf, redact, type Secret } from '@varve/base';
import type { EmailSettings } from '@varve/contract';
import { createTransport } from 'nodemailer';
import type { Letter } from './alert-texts.ts';

const timeoutMs = 20_000;

export interface SendLetter {
  readonly settings: EmailSettings;
  readonly password: Secret | undefined;
  readonly letter: Letter;
}

/** Resolves when the server has taken the message for every recipient. EMAIL_FAILED otherwise. */
export async function sendLetter(options: SendLetter): Promise<void> {
  const { settings, password, letter } = options;
  const transport = createTransport({
    host: settings.host,
    port: settings.port,
    secure: settings.security === 'tls',
    requireTLS: settings.security === 'starttls',
    ignoreTLS: settings.security === 'none',
    connectionTimeout: timeoutMs,
    greetingTimeout: timeoutMs,
    socketTimeout: timeoutMs,
    ...(settings.user === '' ? {} : { auth: { user: settings.user, pass: password?.reveal() ?? '' } }),
  });
  try {
    const sent = await transport.sendMail({
      from: settings.from,
      to: settings.to,
      subject: letter.subject,
      text: letter.body,
      headers: { 'Auto-Submitted': 'auto-generated' },
    });
    if (sent.rejected.length > 0) throw new Error(`the server refused ${sent.rejected.length} of the recipients`);
  } catch (error) {
    const reason = redact(messageOf(error), password === undefined ? [] : [password]);
    throw new AppError(
      'EMAIL_FAILED',
      `The e-mail could not be sent through ${settings.host}:${settings.port}: ${reason}`,
      {
        hint: 'Look at the mail server, the kind of encryption, the user and the password in the settings.',
        context: { host: settings.host, port: settings.port, security: settings.security },
        retry: true,
      },
    );
  } finally {
    transport.close();
  }
}
