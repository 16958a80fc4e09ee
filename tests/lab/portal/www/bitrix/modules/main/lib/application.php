<?php
namespace Bitrix\Main {
    /** What a hit leaves for after its response, highest priority first. */
    final class Application
    {
        public const JOB_PRIORITY_NORMAL = 100;

        private static ?self $instance = null;
        /** @var list<array{callable, array, int}> */
        private array $jobs = [];

        public static function getInstance(): self
        {
            return self::$instance ??= new self();
        }

        public function addBackgroundJob(callable $job, array $arguments = [], int $priority = self::JOB_PRIORITY_NORMAL): self
        {
            $this->jobs[] = [$job, $arguments, $priority];
            return $this;
        }

        /** Runs the jobs, and those that they leave. */
        public function terminate(): void
        {
            while ($this->jobs !== []) {
                usort($this->jobs, static fn($a, $b) => $b[2] <=> $a[2]);
                [$job, $arguments] = array_shift($this->jobs);
                try {
                    $job(...$arguments);
                } catch (\Throwable $e) {
                    error_log("background job: {$e->getMessage()}");
                }
            }
        }

        public function end(): never
        {
            $this->terminate();
            exit;
        }

        /** What the prolog leaves for after the response before it looks at the licence. */
        public static function registerMessenger(): void
        {
            $mode = Config\Configuration::getValue('messenger')['run_mode'] ?? 'web';
            if ($mode !== 'cli') {
                self::getInstance()->addBackgroundJob(Messenger\Worker::process(...));
            }
        }

        /** What it leaves afterwards, as options and settings say. */
        public static function registerKernelJobs(): void
        {
            $self = self::getInstance();
            if (\COption::GetOptionString('main', 'check_agents', 'Y') === 'Y') {
                $self->addBackgroundJob(\CAgent::CheckAgents(...), [], 50);
            }
            if (\COption::GetOptionString('main', 'check_events', 'Y') !== 'N') {
                $self->addBackgroundJob(\CEvent::CheckEvents(...), [], 49);
            }
        }
    }
}

namespace {
    final class CMain
    {
        /** The end of a page; handlers of OnAfterEpilog come before the jobs. */
        public static function epilog(): void
        {
            \Bitrix\MessageService\Queue::run();
            \Bitrix\Main\Application::getInstance()->terminate();
        }

        /** The end of a script: the epilog's handlers only where it asks for them, and then the jobs; it does not come back. */
        public static function FinalActions(): never
        {
            if (defined('BX_WITH_ON_AFTER_EPILOG') && BX_WITH_ON_AFTER_EPILOG === true) {
                \Bitrix\MessageService\Queue::run();
            }
            \Bitrix\Main\Application::getInstance()->end();
        }
    }
}
