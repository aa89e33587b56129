// `varve app discover`: the apps on this host and what would be saved of each.

import type { DiscoveredApp } from '@varve/contract';
import { examples, type AddCommand } from '../../command.ts';
import { componentLine } from '../../output/component.ts';
import { counted, printable, styled } from '../../output/text.ts';
import type { Session } from '../../session.ts';

export const addDiscoverCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('discover')
    .description('find the apps on this host and show what would be saved of each')
    .addHelpText('after', examples(['Everything Docker runs here', 'varve app discover']));
  register(command, async (session) => {
    await using varve = await session.openVarve();
    const discovery = await varve.discoverApps({ signal: session.signal });
    session.print(discovery, () => discovery.apps.flatMap((app) => appLines(session, app)));
    if (session.json) return;
    const { dockerProblem, apps } = discovery;
    if (dockerProblem !== null) {
      session.io.err.write(`warning: ${printable(dockerProblem.message)} [${dockerProblem.code}]\n`);
      if (dockerProblem.hint !== null) session.io.err.write(`hint: ${printable(dockerProblem.hint)}\n`);
    } else if (apps.length === 0) {
      session.say('No Compose project and no container with a varve.app label was found.');
    }
  });
};

function appLines(session: Session, app: DiscoveredApp): string[] {
  const state = app.addedAs === null ? `varve app add ${app.suggestedId}` : `protected as ${app.addedAs}`;
  const running = app.containers.filter((container) => container.state === 'running').length;
  return [
    `${styled(session.io.out, 'bold', printable(app.name))}${app.isOdoo ? ' (Odoo)' : ''}: ${counted(app.containers.length, 'container')}, ${running} running; ${state}`,
    ...app.components.map((component) => `  ${componentLine(component)}`),
    ...app.notSaved.map(({ what, reason }) => `  not saved: ${printable(what)}: ${printable(reason)}`),
  ];
}
