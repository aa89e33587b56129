// `varve demo`: a small business app is saved, damaged and brought back, with every step told.

import { Option } from 'commander';
import { examples, type AddCommand } from '../command.ts';
import { webRoot } from '../web-root.ts';

interface Options {
  readonly serve: boolean;
  readonly docker: boolean;
  readonly image: string;
  readonly listen: string;
}

export const addDemoCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('demo')
    .description('start a small business app, save it, damage it, bring it back, prove it, and show it in the browser')
    .option('--no-serve', 'end after the proof instead of leaving the pages open')
    .option('--no-docker', 'use the PostgreSQL that comes with npm even where Docker answers')
    .option('--image <image>', 'PostgreSQL image for Docker', 'postgres:17')
    .addOption(new Option('--listen <host:port>', 'address of the pages').default('127.0.0.1:8470').env('VARVE_LISTEN'))
    .addHelpText('after', examples(['The whole story', 'varve demo'], ['Without the pages', 'varve demo --no-serve']));
  register(command, async (session) => {
    const { serve, docker, image, listen } = command.opts<Options>();
    // Loaded here only: no other command should pay for it.
    const { runDemo } = await import('@varve/demo');
    await runDemo({
      print: (line) => session.io.out.write(`${line}\n`),
      logger: session.logger(),
      signal: session.signal,
      serve,
      docker: docker ? 'auto' : 'never',
      image,
      listen,
      webRoot,
    });
  });
};
