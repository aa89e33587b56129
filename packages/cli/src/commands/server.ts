// `varve server`: the server with its schedules, until Ctrl-C.

import type { LogLevel } from '@varve/server';
import { Option } from 'commander';
import { examples, type AddCommand } from '../command.ts';
import { webRoot } from '../web-root.ts';
import type { Session } from '../session.ts';

interface Options {
  readonly listen: string;
  readonly allowRemote?: boolean;
  readonly publicUrl?: string;
  readonly logLevel: LogLevel;
}

export const addServerCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('server')
    .description('run the server: web pages, API, schedules, alerts')
    .addOption(new Option('--listen <host:port>', 'address to listen on').default('127.0.0.1:8470').env('VARVE_LISTEN'))
    .option('--allow-remote', 'let other machines reach the address; put a proxy with TLS in front')
    .addOption(
      new Option('--public-url <url>', 'URL that browsers use, when a proxy is in front').env('VARVE_PUBLIC_URL'),
    )
    .addOption(
      new Option('--log-level <level>', 'how much is logged')
        .choices(['debug', 'info', 'warn', 'error'])
        .default('info'),
    )
    .addHelpText(
      'after',
      examples(
        ['On this machine only', 'varve server'],
        [
          'Behind a proxy on another machine',
          'varve server --listen 0.0.0.0:8470 --allow-remote --public-url https://varve.example.org',
        ],
      ),
    );
  register(command, async (session) => {
    const options = command.opts<Options>();
    // Loaded here only: no other command should pay for it.
    const { createLogger, isLoopback, parseListenAddress, startServer } = await import('@varve/server');
    const address = parseListenAddress(options.listen);
    const { err } = session.io;
    const logger = createLogger({
      level: session.verbose ? 'debug' : session.quiet ? 'warn' : options.logLevel,
      write: (line) => err.write(line),
      forPeople: err.isTerminal && !session.json,
    });
    await using varve = await session.openVarve({ logger, runInBackground: true });
    await using server = await startServer({
      varve,
      webRoot,
      logger,
      signal: session.signal,
      clock: session.clock,
      ...options,
    });
    announce(session, server, varve.dataDirectory);
    const isPrivate = isLoopback(address.host) || options.publicUrl?.startsWith('https:');
    if (!isPrivate) err.write(remoteWarning);
    await server.closed;
  });
};

const remoteWarning =
  'warning: other machines can reach this server without TLS: passwords travel in plain text. Put a proxy with TLS in front.\n';

function announce(
  session: Session,
  server: { url: string; setupToken: string | undefined },
  dataDirectory: string,
): void {
  const { url, setupToken } = server;
  session.print({ url, setupToken: setupToken ?? null, dataDirectory }, () => [
    `Varve runs at ${url}`,
    ...(setupToken === undefined ? [] : [`First visit: make the owner account with the setup token ${setupToken}`]),
    `Data directory: ${dataDirectory}`,
    'Press Ctrl-C to stop.',
  ]);
}
